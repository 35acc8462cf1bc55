/** The page as one document: style, content, data, script; a policy that allows nothing else to load or run. */
import { createHash } from 'node:crypto'
import type { Figure, PageData } from './figure.js'
import { type FrameOptions, figureHtml } from './figure-html.js'
import { type Html, html, scriptJson, trusted } from './html.js'
import type { PageAssets } from './page-assets.js'

export interface Section {
  /** Of the link to it. */
  id: string
  title: string
  /** Before the figures. */
  lead?: Html
  figures?: readonly Figure[]
  /** After them. */
  content?: Html
}

export interface PageOptions extends FrameOptions {
  title: string
  /** Under the title. */
  subtitle: Html
  footer: Html
  smoothing: number
}

/** By which a page of ours is known, so that writing one never takes another file's place. */
export const GENERATOR = 'stratabert report'

export function pageDocument(sections: readonly Section[], assets: PageAssets, options: PageOptions): string {
  const data: PageData = {
    // The tables are in the page already.
    figures: sections.flatMap(({ figures }) => figures ?? []).map((figure) => ({ ...figure, table: NO_TABLE })),
    smoothing: options.smoothing,
  }
  const policy = [
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    `script-src 'sha256-${createHash('sha256').update(assets.script).digest('base64')}'`,
    "base-uri 'none'",
    "form-action 'none'",
  ]
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy.join('; ')}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="${GENERATOR}">
<meta name="color-scheme" content="light dark">
<title>${options.title}</title>
<style>${trusted(assets.style)}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header><h1>${options.title}</h1>${options.subtitle}</header>
<nav aria-label="Sections"><ul>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
<main id="content" tabindex="-1">
<noscript><p class="note">Scripts are off: the figures are not drawn, their tables hold the same values.</p></noscript>
${sections.map((section) => sectionHtml(section, options))}
</main>
<footer>${options.footer}</footer>
<script type="application/json" id="report-data">${scriptJson(data)}</script>
<script>${trusted(assets.script)}</script>
</body>
</html>
`.text
}

const NO_TABLE = { columns: [], rows: [] }

function sectionHtml({ id, title, lead, figures = [], content }: Section, options: PageOptions): Html {
  return html`<section id="${id}" aria-labelledby="${id}-heading">
<h2 id="${id}-heading">${title}</h2>
${lead}
${figures.length > 0 && html`<div class="figures">${figures.map((figure) => figureHtml(figure, options))}</div>`}
${content}
</section>
`
}
