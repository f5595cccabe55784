// Reads CSV and TSV files, and fills templates with their columns.

/** Read rows of fields (RFC 4180); the separator is what the first line has most of. */
export function readCsv(text) {
  const first = text.slice(0, text.indexOf("\n") + 1 || undefined);
  const separator = [",", ";", "\t"].sort((one, other) => first.split(other).length - first.split(one).length)[0];
  const rows = [];
  let row = [], field = "", quoted = false;
  for (let index = text.charCodeAt(0) === 0xfeff ? 1 : 0; index < text.length; index++) {
    const character = text[index];
    if (quoted) {
      if (character !== '"') field += character;
      else if (text[index + 1] === '"') field += text[++index];
      else quoted = false;
    } else if (character === '"' && field === "") quoted = true;
    else if (character === separator) {
      row.push(field);
      field = "";
    } else if (character === "\n" || character === "\r") {
      if (character === "\r" && text[index + 1] === "\n") index++;
      row.push(field);
      field = "";
      if (row.length > 1 || row[0] !== "") rows.push(row);
      row = [];
    } else field += character;
  }
  if (field !== "" || row.length) rows.push([...row, field]);
  return rows;
}

// As in `batchgate run`: {column} stands for a value, {{ and }} for braces.
const PARTS = /\{\{|\}\}|\{([^{}]*)\}|\{/g;

/** Put the values of columns in place of their names in braces. */
export function fillTemplate(template, columns, values) {
  return template.replace(PARTS, (part, name) => (name === undefined ? part[0] : values[columns.indexOf(name)] ?? ""));
}

/** Return what is wrong with a template, or nothing. */
export function templateFault(template, columns) {
  for (const [part, name] of template.matchAll(PARTS)) {
    if (part === "{") return "A brace is not closed. Write {{ for a brace.";
    if (name !== undefined && !columns.includes(name)) return `The file has no column “${name}”. Write {{ for a brace.`;
  }
  return null;
}
