// Many names in little room: what all share is left out first, then the words that most of them have.

const WORD = /[^._/]+[._/]*/g; // a word and the signs behind it
const VIEW = /(?: \(?\p{L}+\)?(?: \d+)?)+$/u; // of a tensor seen in several ways: " (reads)", " head 3 QK key side"
const PART = /\p{L}+ \d+|\S+/gu; // of a view: a word, or what is counted with its number

/** Every name as it fits; as they are where all of them fit. Of a view stays what tells it from the others, in its own words. */
export function shortened(names: readonly string[], fits: (text: string) => boolean): string[] {
  if (names.every(fits)) return [...names];
  const views = names.map((name) => VIEW.exec(name)?.[0].match(PART) ?? []);
  const told = names.map((name) => name.replace(VIEW, "").match(WORD) ?? [name]);
  const [words, parts] = [frequencies(told), frequencies(views)];
  const front = shared(told);
  const back = shared(told.map((tensor) => tensor.slice(front).toReversed()));
  return told.map((tensor, place) => {
    const own = tensor.slice(front, tensor.length - back);
    const view = viewed(views[place] ?? [], parts, (text) => fits(`${shortest(own, words)}${text}`));
    return view ? middle(fitted(own, words, (text) => fits(text + view)) + view, fits) : middle(fitted(own, words, fits), fits);
  });
}

/** In how many names a word is. */
function frequencies(names: readonly (readonly string[])[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const words of names) for (const word of new Set(words.map(bare))) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/** The one word that is left when a name is as short as it gets. */
function shortest(words: readonly string[], counts: ReadonlyMap<string, number>): string {
  return fitted(words, counts, () => false);
}

/** A view with a space in front, without its most frequent words until it fits; at least one stays. */
function viewed(parts: readonly string[], counts: ReadonlyMap<string, number>, fits: (text: string) => boolean): string {
  const kept = [...parts];
  const text = () => kept.map((part) => ` ${part}`).join("");
  while (kept.length > 1 && !fits(text())) {
    const often = kept.map((part) => counts.get(part) ?? 0);
    kept.splice(often.indexOf(Math.max(...often)), 1);
  }
  return text();
}

/** How many words all names begin with; each keeps one of its own. */
function shared(names: readonly (readonly string[])[]): number {
  const most = Math.min(...names.map((words) => words.length)) - 1;
  let count = 0;
  while (count < most && names.every((words) => bare(words[count]) === bare(names[0]?.[count]))) count += 1;
  return names.length > 1 ? count : 0;
}

/** Without its most frequent words, until it fits; what was between two others leaves an ellipsis. */
function fitted(words: readonly string[], counts: ReadonlyMap<string, number>, fits: (text: string) => boolean): string {
  const kept = words.map((_, place) => place);
  while (kept.length > 1 && !fits(joined(words, kept))) {
    const often = kept.map((place) => counts.get(bare(words[place])) ?? 0);
    kept.splice(often.indexOf(Math.max(...often)), 1);
  }
  return joined(words, kept);
}

function joined(words: readonly string[], kept: readonly number[]): string {
  const gap = (index: number) => index + 1 === kept.length || kept[index + 1] !== (kept[index] ?? 0) + 1;
  const parts = kept.map((place, index) => (gap(index) ? bare(words[place]) : (words[place] ?? "")) + (gap(index) && index + 1 < kept.length ? "\u2026" : ""));
  return parts.join("");
}

/** Both ends of a single word that is too long. */
function middle(text: string, fits: (text: string) => boolean): string {
  let short = text;
  for (let size = [...text].length - 1; size > 1 && !fits(short); size -= 1) {
    const signs = [...text];
    short = `${signs.slice(0, Math.ceil(size / 2)).join("")}\u2026${signs.slice(signs.length - Math.floor(size / 2)).join("")}`;
  }
  return short;
}

function bare(word: string | undefined): string {
  return (word ?? "").replace(/[._/]+$/, "");
}
