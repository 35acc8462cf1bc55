/**
 * Sentence borders within a paragraph of English text: Unicode's rules (Intl.Segmenter, UAX 29) and, where those see only
 * a full stop and a capital, rules for abbreviations, initials, list numbers, ellipses and closing quotes.
 *
 * Measured on the sentence borders of UD English EWT, see test/22.sentence-splitter.test.ts. Borders without any
 * punctuation, which that treebank has in e-mails, are not guessed.
 */

const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' })

const words = (list: string): ReadonlySet<string> => new Set(list.trim().split(/\s+/))

/** Never end a sentence: what they shorten always goes on. Compared in lower case, without the last full stop. */
const GOES_ON = words(`
  mr mrs ms messrs mme mlle dr prof st gen rep reps sen sens gov lt col cmdr cdr maj capt sgt cpl pvt adm rev hon fr pres supt
  mt ft vs v cf viz e.g i.e eg ie approx appr ca c incl esp resp r.i.p fl rs hr hrs nr dir det insp ald amb brig comdr ens
  atty asst assoc introd repr rpt orig lit lat ger gk heb abbr aka a.k.a w/ b/w`)

/** Go on when a number (or a Roman numeral) follows; else they are words ("No."). */
const BEFORE_NUMBER = words(`
  no nos nr num pp p pg pgs vol vols fig figs eq eqs sec secs sect ch chap art arts ex para par op cl ed bk pt ver ext apt ste rm
  jan feb mar apr jun jul aug sep sept oct nov dec lvl mi sq b d c m r fl`)

/** May end a sentence; then a word follows that often begins one. */
const MAY_END = words(`
  inc corp co ltd bros llc plc jr sr esq al ave blvd rd hwy univ dept dept assn bldg eds ed trans comp mfg intl natl govt est
  ph.d m.d b.a m.a b.s m.s u.s u.k u.n u.s.a d.c e.u n.y l.a a.d b.c b.c.e c.e calif mass conn penn tex fla ariz colo
  ill ind minn wis wash ore okla tenn ala ga va vt md la mo mich
  jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun deg min max avg temp tel misc
  pop adj adv mins secs yrs yr wks wk lbs oz cm mm km kg mg ml`)

/** What may stand after "a.m." without a new sentence. */
const AFTER_TIME =
  /^(?:[A-Z]{2,4}T\b|ET\b|PT\b|CT\b|GMT\b|UTC\b|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Eastern|Central|Pacific|Mountain|Local)/

/** Words that, with a capital, nearly always begin a sentence. */
const STARTERS = words(`
  the this that these those there then thus they their he his him she her it its we our you your i my in on at as an a
  after before during since while when where what who why how if although though however but and or so because for from
  to by with under over until upon both many most some several such all each every no not one two three following
  according additionally also another among later finally meanwhile moreover nevertheless therefore furthermore instead
  please thanks is are was were do does did has have had can could will would should may let here yes`)

const CLOSERS = '"\'”’»›)\\]}'
const OPENERS = '"\'“‘«‹(\\[{¿¡*_-'
/**
 * A run of terminators, what closes behind it, white space: a place where a sentence may end. A run is tried from its beginning alone,
 * and its full stops fit in one way only, so that time stays linear where no white space follows (the dots of a table of contents).
 */
const CANDIDATE = new RegExp(`(?<![.!?…])[.!?…]+(?:\\s\\.+)*[${CLOSERS}]*(?:\\s+["”'’]{1,2}(?=\\s))?\\s+`, 'gu')
const ENDING = new RegExp(`([.!?…。！？]+(?:\\s\\.)*)([${CLOSERS}]*(?:\\s+["”'’]{1,2})?)\\s*$`, 'u')
const LEADING_OPENERS = new RegExp(`^[${OPENERS}]+\\s?`, 'u')
const EMOTICON = /^(?:[:;=8xX]['’]?-?[)(DPpOo3/\\|*\]]+|\^_*\^|<3|XD|xD|:\))(?=\s|$)\s*/
const LAST_TOKEN = /(\S+)$/u

/** Intl.Segmenter takes time with the square of its text, so long paragraphs are taken in parts of this many UTF-16 units. */
const WINDOW = 4096
/** How far a decision looks ahead. */
const LOOK_AHEAD = 64

/** End offsets (UTF-16 units, white space after the sentence included) of a paragraph's sentences; the last is its length. */
export function sentenceBorders(paragraph: string): number[] {
  const borders: number[] = []
  let start = 0
  let window = WINDOW
  while (paragraph.length - start > window) {
    const found = innerBorders(paragraph.slice(start, start + window)).filter((border) => border <= window - LOOK_AHEAD)
    for (const border of found) borders.push(start + border)
    // A part always begins at a border; a sentence longer than the window needs a larger one.
    if (found.length === 0) window *= 2
    else {
      start += found[found.length - 1]
      window = WINDOW
    }
  }
  for (const border of innerBorders(paragraph.slice(start))) borders.push(start + border)
  if (paragraph.length > 0) borders.push(paragraph.length)
  return borders
}

/** The ends of Unicode's sentences. A text above the window, of which none was an end, is segmented in parts that begin at one, too. */
function* segmentEnds(text: string): Generator<number, void, undefined> {
  let start = 0
  let window = WINDOW
  while (text.length - start > window) {
    let last = 0
    for (const { index, segment } of segmenter.segment(text.slice(start, start + window))) {
      const end = index + segment.length
      if (end > window - LOOK_AHEAD) break
      last = end
      yield start + end
    }
    start += last
    window = last === 0 ? window * 2 : WINDOW
  }
  for (const { index, segment } of segmenter.segment(text.slice(start))) yield start + index + segment.length
}

/** The borders of a text without its end. */
function innerBorders(text: string): number[] {
  const candidates = new Set<number>()
  for (const match of text.matchAll(CANDIDATE)) candidates.add(match.index + match[0].length)
  for (const end of segmentEnds(text)) candidates.add(end)
  candidates.delete(text.length)
  const borders: number[] = []
  let start = 0
  for (const candidate of [...candidates].sort((left, right) => left - right)) {
    if (candidate <= start || !endsSentence(text, start, candidate)) continue
    const smile = EMOTICON.exec(text.slice(candidate, candidate + 12))
    const border = smile === null ? candidate : candidate + smile[0].length
    if (border >= text.length) break
    borders.push(border)
    start = border
  }
  return borders
}

/** The sentences of a paragraph, trimmed; none is empty. */
export function splitSentences(paragraph: string): string[] {
  const sentences: string[] = []
  let start = 0
  for (const end of sentenceBorders(paragraph)) {
    const sentence = paragraph.slice(start, end).trim()
    if (sentence !== '') sentences.push(sentence)
    start = end
  }
  return sentences
}

/** Sentences longer than this are judged by their last part alone. */
const LONGEST_LOOK_BACK = 200

function endsSentence(paragraph: string, start: number, end: number): boolean {
  const left = paragraph.slice(Math.max(start, end - LONGEST_LOOK_BACK), end)
  const next = paragraph.slice(end, end + 40)
  const ending = ENDING.exec(left)
  // Another script's terminator or a line separator: Unicode's rules decide.
  if (ending === null) return true
  // What follows is only another full stop: it belongs to this sentence.
  if (/^[.…]+\s*$/u.test(next)) return false
  const [, terminators, closers] = ending
  const before = left.slice(0, ending.index)
  const token = LAST_TOKEN.exec(before)?.[1] ?? ''
  const opened = next.replace(LEADING_OPENERS, '')
  const lower = /^\p{Ll}/u.test(opened)
  if (!/\s$/u.test(left)) return endsWithoutSpace(token, terminators, next)
  if (terminators.includes('…') || /\.\s?\./u.test(terminators)) return endsEllipsis(opened)
  if (terminators !== '.') return !(lower && closers !== '')
  if (lower) return closers === '' && endsBeforeLowerCase(token)
  if (closers !== '') return true
  return endsAtFullStop(before, token, next, opened, Math.max(start, end - LONGEST_LOOK_BACK) === start)
}

/** "call me!Thanks" but not "article.asp?id=5"; after a full stop only where an invisible separator made Unicode's rules see a border. */
function endsWithoutSpace(token: string, terminators: string, next: string): boolean {
  if (/[。！？]/u.test(terminators)) return true
  if (/:\/\/|www\.|[/@=]/u.test(token) || /[.…]{2}$|…$/u.test(terminators)) return false
  if (terminators.endsWith('.')) return /^\p{Lu}\p{Ll}/u.test(next)
  return /^[\p{Lu}"“]\p{L}/u.test(next)
}

function endsEllipsis(opened: string): boolean {
  return /^[\p{Lu}\p{N}]/u.test(opened)
}

/** People who write without capitals: only a plain word before the full stop is taken for an end. */
function endsBeforeLowerCase(token: string): boolean {
  const word = token.replace(LEADING_OPENERS, '')
  const plain = word.toLowerCase()
  return (
    /^[\p{Ll}'’-]{2,}$/u.test(word.slice(1)) &&
    !GOES_ON.has(plain) &&
    !BEFORE_NUMBER.has(plain) &&
    !MAY_END.has(plain) &&
    plain !== 'etc'
  )
}

function endsAtFullStop(before: string, token: string, next: string, opened: string, whole: boolean): boolean {
  const word = token.replace(LEADING_OPENERS, '')
  const plain = word.toLowerCase()
  const nextWord = /^[\p{L}\p{N}'’]+/u.exec(opened)?.[0] ?? ''
  const starts = STARTERS.has(nextWord.toLowerCase()) && /^\p{Lu}/u.test(nextWord)
  const ahead = before.slice(0, before.length - token.length).trimEnd()
  if (isListNumber(word, ahead, whole)) return false
  if (BEFORE_NUMBER.has(plain) && /^(?:\p{N}|[IVXLC]+\b)/u.test(opened)) return false
  // "c. 1900", but not the "vitamin C." of the next rule.
  if (GOES_ON.has(plain) && (word.length > 1 || word === plain)) return false
  // Initials: "George W. Bush"; but "vitamin C. The".
  if (/^\p{Lu}$/u.test(word)) return starts && !(nextWord.length === 1 && nextWord !== 'I' && nextWord !== 'A')
  if (/^[ap]\.m$/u.test(plain)) return !AFTER_TIME.test(next) && !/^\p{N}/u.test(next)
  if (MAY_END.has(plain) || /^(?:\p{L}\.)+\p{L}$/u.test(word)) return starts
  return true
}

/** "1." or "a." at the head of a list's item. */
function isListNumber(word: string, ahead: string, whole: boolean): boolean {
  if (!/^(?:\p{N}{1,2}|[a-zA-Z]|[ivx]{1,4})$/u.test(word)) return false
  if (ahead === '') return whole
  return /[:;,]$/u.test(ahead) && /^\p{N}/u.test(word)
}
