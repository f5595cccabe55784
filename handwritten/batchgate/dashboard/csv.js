// Reads CSV and TSV files, and fills templates with their columns.

/** Read a file as text: UTF-8, or UTF-16 with a byte order mark; throws if it is neither. @param {Blob} file */
export async function readText(file) {
  const bytes = await file.arrayBuffer();
  const [first, second] = new Uint8Array(bytes);
  const encoding = first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new Error("The file is neither UTF-8 nor UTF-16 with a byte order mark. Save it as UTF-8.");
  }
}

/** Return what the first line has most of outside of quotes. @param {string} text */
function separatorOf(text) {
  const first = text.slice(0, text.indexOf("\n") + 1 || undefined).replace(/(^|[,;\t])"(?:[^"]|"")*"?/g, "$1");
  return [",", ";", "\t"].sort((one, other) => first.split(other).length - first.split(one).length)[0];
}

/** @param {number} line @param {number} cells @param {number} columns */
function raggedText(line, cells, columns) {
  const hint = cells > columns ? " Put texts that have a separator in quotes." : "";
  return `Line ${line} has ${cells} ${cells === 1 ? "cell" : "cells"}, and the first line names ${columns} ${columns === 1 ? "column" : "columns"}.${hint}`;
}

/** Read rows of fields (RFC 4180), blank lines left out; throws where a row is unlike the first, and for an open quote. @param {string} text */
export function readCsv(text) {
  const separator = separatorOf(text);
  /** @type {string[][]} */
  const rows = [];
  /** @type {string[]} */
  let row = [];
  let field = "", quoted = false, line = 1, begin = 1, opened = 1, start = 0;
  /** @param {number} end */
  const endRow = (end) => {
    row.push(field);
    if (end > start) {
      if (rows.length && row.length !== rows[0].length) throw new Error(raggedText(begin, row.length, rows[0].length));
      rows.push(row);
    }
    row = [];
    field = "";
  };
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    const endsLine = character === "\n" || (character === "\r" && text[index + 1] !== "\n");
    if (endsLine) line++;
    if (quoted) {
      if (character !== '"') field += character;
      else if (text[index + 1] === '"') field += text[++index];
      else quoted = false;
    } else if (character === '"' && field === "") {
      quoted = true;
      opened = line;
    } else if (character === separator) {
      row.push(field);
      field = "";
    } else if (endsLine) {
      endRow(text[index - 1] === "\r" && character === "\n" ? index - 1 : index);
      begin = line;
      start = index + 1;
    } else if (character !== "\r") field += character;
  }
  if (quoted) throw new Error(`A quote is opened in line ${opened} and never closed.`);
  endRow(text.length);
  return rows;
}

// As in `batchgate run` (tables/prompt_template.py): {column} stands for a value, {{ and }} for braces.
const PARTS = /\{\{|\}\}|\{([^{}]*)\}|[{}]/g;
const ESCAPE = "Write {{ and }} for braces, also in JSON.";

/** Put the values of columns in place of their names in braces. @param {string} template @param {string[]} columns @param {string[]} values */
export function fillTemplate(template, columns, values) {
  return template.replace(PARTS, (part, name) => (name === undefined ? part[0] : values[columns.indexOf(name)] ?? ""));
}

/** Return what is wrong with a template, or nothing. @param {string} template @param {string[]} columns */
export function templateFault(template, columns) {
  for (const { 0: part, 1: name, index } of template.matchAll(PARTS)) {
    if (part.length === 1) return `The ${part} at character ${[...template.slice(0, index)].length + 1} of the template has no counterpart. ${ESCAPE}`;
    if (name !== undefined && !columns.includes(name)) return `The file has no column “${name}”. ${ESCAPE}`;
  }
  return null;
}
