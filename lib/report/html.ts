/** HTML from templates that escape: what a file says stays text, whatever it holds. */

/** Markup that is safe to insert as it is; only `html` and `trusted` make it. */
export class Html {
  constructor(readonly text: string) {}
  toString(): string {
    return this.text
  }
}

type Insert = Html | string | number | null | undefined | false | readonly Insert[]

/** `<b>${name}</b>`: strings are escaped, {@link Html} goes in unchanged, lists are joined, null, undefined and false are nothing. */
export function html(parts: TemplateStringsArray, ...inserts: Insert[]): Html {
  return new Html(parts.reduce((text, part, i) => text + insert(inserts[i - 1]) + part))
}

/** For the package's own style sheet and script, and for nothing that came from a file. */
export const trusted = (text: string): Html => new Html(text)

function insert(value: Insert): string {
  if (value === null || value === undefined || value === false) return ''
  if (value instanceof Html) return value.text
  if (Array.isArray(value)) return value.map(insert).join('')
  return escapeHtml(String(value))
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Safe as text and inside quoted attributes. Control characters, which HTML forbids, and lone surrogates become U+FFFD. */
function escapeHtml(text: string): string {
  return (
    text
      .replace(/[&<>"']/g, (character) => ENTITIES[character])
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]|\p{Surrogate}/gu, '\ufffd')
  )
}

/** JSON for a `<script type="application/json">`: no `<` can end the element or open a comment. */
export function scriptJson(value: unknown): Html {
  return new Html(JSON.stringify(value).replaceAll('<', '\\u003c'))
}
