/**
 * Words of raw English text as the UD English treebanks split them: clitics stand by themselves ("do" "n't", "Google" "'s", "can" "not")
 * as words of one token; hyphenated compounds, slashes, brackets, currency and per cent signs come apart; abbreviations, numbers,
 * dates, times, links, addresses, emoticons and emoji stay whole. Scripts without spaces are split by Intl.Segmenter.
 *
 * The rules were made on the training part of UD English EWT; test/29.chunker.test.ts measures them on the other parts.
 */

/** A syntactic word of a text. */
export interface SplitWord {
  /** As it stands in the text. */
  form: string
  /** UTF-16 offsets in the text: [start, end). */
  start: number
  end: number
  /** Number of its token, from 0; a word and its clitics share one (a multi-word token of CoNLL-U). */
  token: number
}

const list = (words: string): string => words.trim().split(/\s+/).join('|').replaceAll('.', '\\.')

/** Written with a full stop that belongs to them. */
const ABBREVIATIONS = list(`
  Mr Mrs Ms Messrs Mme Dr Prof St Ste Gen Rep Reps Sen Sens Gov Lt Col Cmdr Maj Capt Sgt Cpl Pvt Adm Rev Hon Pres Supt Mt Ft vs cf viz
  Inc Corp Co Ltd Bros Jr Sr Esq al Vol vol approx Ave Blvd Rd Univ Dept Assn Attn Ph.D M.D B.A M.A
  Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri Sat Sun
  Calif Mass Conn Tex Fla Va La Pa arrv lv ext esp eg mins oz lbs lb yrs Fig fig pp est dom`)

const PREFIXES = list(`
  e co non pre post re anti semi multi mid ex sub un over under inter intra pro psycho counter bi tri ultra vice meh ante de extra
  infra macro mega meta micro mini neo out pan para quasi trans`)

const DOMAINS =
  'com|org|net|edu|gov|mil|int|info|biz|co\\.uk|ac\\.uk|io|us|uk|ca|de|fr|jp|in|tv|html?|php|aspx?|jsp|docx?|xlsx?|pdf|txt|jpe?g|gif|png|ppt|zip|exe|csv|mp3|js|ts|py|cpp|json|xml|css|ya?ml'

const EMOTICON = `[:;=8xX]['’]?[-o^]?[)(\\]\\[DPpOo3/\\\\|*]+(?![\\p{L}\\p{N}])|\\([-:;=]+|\\^_*\\^|<3(?!\\p{N})|[oO]_[oO]|(?<![\\p{L}\\p{N}])[xX]D(?![\\p{L}\\p{N}])`
const APART_SCRIPTS = '\\p{sc=Han}\\p{sc=Hira}\\p{sc=Kana}\\p{sc=Thai}\\p{sc=Lao}\\p{sc=Khmr}\\p{sc=Mymr}'
const LETTER = `(?:(?![${APART_SCRIPTS}])[\\p{L}\\p{M}])`
const NOT_IN_WORD = '(?![\\p{L}\\p{N}])'

/** At each place the first that fits is the next piece. */
const PIECE = new RegExp(
  [
    '\\[(?:MASK|UNK|CLS|SEP|PAD)\\]',
    '(?:https?|ftps?|file|mailto):(?://)?[^\\s<>"“”]*[^\\s<>"“”.,;:!?)\\]}\'’]',
    'www\\.[^\\s<>"“”]*[^\\s<>"“”.,;:!?)\\]}\'’]',
    '[\\p{L}\\p{N}_][\\p{L}\\p{N}_.+%-]{0,64}@[\\p{L}\\p{N}-]{1,64}(?:\\.[\\p{L}\\p{N}-]{1,64}){0,8}',
    `[\\p{L}\\p{N}][\\p{L}\\p{N}_#-]{0,64}(?:\\.[\\p{L}\\p{N}_-]{1,64}){0,8}\\.(?:${DOMAINS}|${DOMAINS.toUpperCase()})${NOT_IN_WORD}(?:/[^\\s<>"“”]*[^\\s<>"“”.,;:!?)\\]}'’])?`,
    EMOTICON,
    // Telephone numbers, dates, times, decimals, thousands; ".5"; ordinals and decades; hours and measures come apart later.
    `(?:\\p{N}{1,2}-)?(?:\\p{N}{3}-){1,2}\\p{N}{4}(?!\\p{N})`,
    `\\p{N}{1,2}-\\p{N}{1,2}-\\p{N}{2,4}(?!\\p{N})`,
    `\\p{N}+(?:[.,:/]\\p{N}+)*(?:st|nd|rd|th|s|['’]s)${NOT_IN_WORD}`,
    `(?<![\\p{L}\\p{N}])\\.\\p{N}+(?![\\p{L}])`,
    `['’]\\p{N}0s?${NOT_IN_WORD}`,
    `\\p{N}+(?:[.,:/]\\p{N}+)*`,
    // Clitics that stand by themselves.
    `(?<!${LETTER})[nN]['’][tT]${NOT_IN_WORD}|['’\u0060](?:s|m|d|ll|re|ve|t|em|S|M|D|LL|RE|VE|T)${NOT_IN_WORD}`,
    // "U.S.", "p.m.", "J.", "Mr.".
    `${LETTER}(?:\\.${LETTER})+(?:\\.(?!\\.))?${NOT_IN_WORD}`,
    `(?<![\\p{L}\\p{N}'’])(?:${ABBREVIATIONS})\\.(?!\\.)`,
    `(?<![\\p{L}\\p{N}'’])(?:etc\\.(?=\\s*[\\p{Ll},;:)])|[Nn]os?\\.(?=\\s*\\p{N}))`,
    `(?<![\\p{L}\\p{N}'’])(?:${ABBREVIATIONS.toUpperCase().replaceAll('\\.', '\\.')})\\.(?=\\s\\p{L})`,
    `(?<![\\p{L}\\p{N}'’.-])\\p{Lu}\\.(?=\\s*[\\p{L}])`,
    // "C#", "C++", ".NET": names that hold a sign.
    `(?<![\\p{L}\\p{N}])(?:[A-Z]#|C\\+\\+(?!\\+)|\\.NET)${NOT_IN_WORD}`,
    // "PG&E", "e-mail", "Sha'lan", "don`t", words.
    `\\p{Lu}{1,3}(?:&\\p{Lu}{1,2})+${NOT_IN_WORD}`,
    `(?<![\\p{L}\\p{N}-])(?:${PREFIXES}|${PREFIXES.replace(/(?<=^|\\|)./g, (first) => first.toUpperCase())})-${LETTER}+(?:['’]${LETTER}+)*${NOT_IN_WORD}`,
    `${LETTER}[\\p{L}\\p{M}\\p{N}_]*(?:['’]${LETTER}+|(?<=[nN])\u0060[tT]${NOT_IN_WORD})*`,
    // Runs of one kind of sign.
    "…+\\.*|[.!?]{2,}|-{2,}|\\*+|_+|=+|~+|#{2,}|<+|>+|\\++|[—―]+|''|``",
    // In parts: Intl.Segmenter takes time with the square of its text.
    `[${APART_SCRIPTS}]{1,128}`,
    '\\S',
  ].join('|'),
  'uy',
)

const CLITIC = /^(.+?)(n['’`]t|['’](?:s|m|d|ll|re|ve))$/i
/** Spelled without apostrophe, or grown together: where the second word begins. */
const GROWN_TOGETHER = new Map<string, number>([
  ...'dont didnt doesnt isnt wasnt wont cant couldnt wouldnt shouldnt havent hasnt hadnt arent werent aint'
    .split(' ')
    .map((word): [string, number] => [word, word.length - 2]),
  ['cannot', 3],
  ['gonna', 3],
  ['wanna', 3],
  ['gotta', 3],
  ['im', 1],
  ['ive', 1],
  ['youre', 3],
  ['thats', 4],
  ['hes', 2],
  ['shes', 3],
])
/** In capitals these are abbreviations, not two words that have grown together. */
const NOT_GROWN_TOGETHER = new Set(['IM', 'HES'])
/** "5pm" and "10km" are two words, "3D" and "20th" are one. */
const UNIT =
  /^(?:[ap]\.?m\.?|hrs?|hours?|mins?|k|kg|g|mg|km|cm|mm|m|ft|lbs?|oz|mb|gb|mph|yrs?|years?|days?|pm|bn|mm?btu|x)$/i

const APART = new RegExp(`^[${APART_SCRIPTS}]`, 'u')
const wordSegmenter = new Intl.Segmenter('und', { granularity: 'word' })
const graphemeSegmenter = new Intl.Segmenter('und', { granularity: 'grapheme' })

/** The words of a text in order; nothing but white space lies between them. Linear time. */
export function splitWords(text: string): SplitWord[] {
  return [...eachWord(text)]
}

/** As {@link splitWords}, one by one: of a long text no more is split than is asked for. */
export function* eachWord(text: string): Generator<SplitWord, void, undefined> {
  const splitter = new Splitter()
  // White space is cut first: no rule looks further than that, so that time stays linear.
  for (const match of text.matchAll(/\S+/g)) yield* splitter.wordsOf(match[0], match.index, text)
}

class Splitter {
  #words: SplitWord[] = []
  #token = 0
  /** An opening single quote is waiting for its partner: an apostrophe after s closes it. */
  #quoteOpen = false

  /** `chunk`: what stands between white space. */
  wordsOf(chunk: string, offset: number, text: string): SplitWord[] {
    this.#words = []
    for (let at = 0; at < chunk.length; ) {
      PIECE.lastIndex = offset + at
      const piece = PIECE.exec(text)![0].slice(0, chunk.length - at)
      at += this.#piece(piece, offset + at, text, chunk.length - at)
    }
    return this.#words
  }

  /** Adds a piece's words; returns how much of the text they take. */
  #piece(piece: string, start: number, text: string, room: number): number {
    const code = piece.codePointAt(0)!
    if (piece.length <= 2 && code > 0x7f && !/^[\p{L}\p{N}]/u.test(piece)) return this.#sign(start, text, room)
    if (APART.test(piece)) {
      for (const { segment, index } of wordSegmenter.segment(piece)) this.#token += this.#push(segment, start + index)
      return piece.length
    }
    if (/^\p{N}/u.test(piece)) return this.#number(piece, start, text, room)
    if (/^\p{L}/u.test(piece)) return this.#word(piece, start, text, room)
    if (piece === "'" || piece === '‘' || piece === '`')
      this.#quoteOpen = !/\S/.test(text[start - 1] ?? ' ') || this.#quoteOpen
    this.#token += this.#push(piece, start)
    return piece.length
  }

  /** A grapheme: an emoji with its joiners is one word. */
  #sign(start: number, text: string, room: number): number {
    const [{ segment }] = graphemeSegmenter.segment(text.slice(start, start + Math.min(room, 64)))
    this.#token += this.#push(segment, start)
    return segment.length
  }

  #number(piece: string, start: number, text: string, room: number): number {
    const behind = /^\p{L}+\.?(?:\p{L}\.?)?/u.exec(
      text.slice(start + piece.length, start + Math.min(room, piece.length + 12)),
    )
    if (!behind || !/^[\p{N}.,:/]+$/u.test(piece)) {
      this.#token += this.#push(piece, start)
      return piece.length
    }
    const letters = /^\p{L}+/u.exec(behind[0])![0]
    if (UNIT.test(letters)) {
      this.#token += this.#push(piece, start)
      return piece.length
    }
    // "3D", "4x4": letters and digits that belong together.
    const whole = /^[\p{L}\p{N}]+/u.exec(text.slice(start, start + room))![0]
    const taken = Math.max(whole.length, piece.length)
    this.#token += this.#push(text.slice(start, start + taken), start)
    return taken
  }

  #word(piece: string, start: number, text: string, room: number): number {
    const cut = cutOf(piece)
    if (cut !== undefined) {
      // "I'd've" has two clitics.
      const before = CLITIC.exec(piece.slice(0, cut))?.[1].length
      if (before !== undefined) this.#push(piece.slice(0, before), start)
      this.#push(piece.slice(before ?? 0, cut), start + (before ?? 0))
      this.#token += this.#push(piece.slice(cut), start + cut)
      return piece.length
    }
    const behind = text[start + piece.length]
    const possessive =
      (behind === "'" || behind === '’') && room > piece.length && /[sS]$/.test(piece) && !this.#quoteOpen
    if (possessive && !/[\p{L}'’]/u.test(text[start + piece.length + 1] ?? ' ')) {
      this.#push(piece, start)
      this.#token += this.#push(behind, start + piece.length)
      return piece.length + 1
    }
    if ((behind === "'" || behind === '’') && this.#quoteOpen) this.#quoteOpen = false
    this.#token += this.#push(piece, start)
    return piece.length
  }

  /** Returns 1, the step to the next token. */
  #push(form: string, start: number): 1 {
    this.#words.push({ form, start, end: start + form.length, token: this.#token })
    return 1
  }
}

/** Where the last of a token's words begins, undefined for a token that is one word. */
function cutOf(piece: string): number | undefined {
  const clitic = CLITIC.exec(piece)
  if (clitic) return clitic[1].length
  return NOT_GROWN_TOGETHER.has(piece) ? undefined : GROWN_TOGETHER.get(piece.toLowerCase())
}
