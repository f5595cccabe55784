// Writes numbers, money and times for people.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** @param {number} number */
export const count = (number) => whole.format(number);
/** @param {number} number */
export const compact = (number) => (Math.abs(number) < 10_000 ? whole.format(number) : short.format(number));

/** Write dollars: cents where that is enough, more digits for small amounts. @param {number | null} [dollars] */
export function money(dollars) {
  if (dollars === null || dollars === undefined) return "–";
  if (dollars === 0) return "$0";
  if (Math.abs(dollars) >= 1) return `$${dollars.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  return `$${dollars.toPrecision(2).replace(/\.?0+$/, "")}`;
}

/** Write seconds in one or two units. @param {number} seconds */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s < 600 && s % 60 ? ` ${s % 60} s` : ""}`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** Write seconds of a call. @param {number} seconds */
export const latency = (seconds) => (seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`);

/** @param {string} time */
export const ago = (time) => duration((Date.now() - Date.parse(time)) / 1000);

/** Write requests a second, or a minute if they are few. @param {number} perSecond */
export function rate(perSecond) {
  if (perSecond >= 10) return `${compact(Math.round(perSecond))}/s`;
  return perSecond * 60 >= 1 ? `${compact(Math.round(perSecond * 60))}/min` : "< 1/min";
}

/** Write a time: of today without its day. @param {string} text */
export function time(text) {
  const date = new Date(text);
  const sameDay = date.toDateString() === new Date().toDateString();
  const clock = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  return sameDay ? clock : `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${clock}`;
}

/** @param {string} text */
export const fullTime = (text) => new Date(text).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "long" });

/** Write a share in percent. @param {number} part @param {number} total */
export function percent(part, total) {
  if (!total) return "0%";
  const share = (100 * part) / total;
  return share > 0 && share < 0.1 ? "< 0.1%" : `${share.toFixed(share < 10 ? 1 : 0)}%`;
}

/** Write a kind of error or a code as words. @param {string} code */
export const words = (code) => code.replace(/_error$/, "").replaceAll("_", " ");
