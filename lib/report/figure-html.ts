/** The frame of figures and tables: headings, legends, captions and the table behind each figure. The page's script draws into it. */
import { relative, sep } from 'node:path'
import type { Cell, Column, Figure, LineFigure, Table } from './figure.js'
import { type Html, html } from './html.js'
import { seriesStyles } from './series-style.js'

export interface FrameOptions {
  /** Folder of the page, for links beside it. */
  folder: string
}

export function figureHtml(figure: Figure, options: FrameOptions): Html {
  const { id, title, description, caption, table } = figure
  return html`<figure id="${id}" aria-labelledby="${id}-title" class="${figure.kind}${figure.kind === 'heat' && figure.columns.length > 13 && ' wide'}">
<h3 id="${id}-title">${title}</h3>
<p id="${id}-description" class="unseen">${description}</p>
${figure.kind === 'lines' && legend(figure)}
${figure.kind === 'heat' && figure.scale === 'rows' && scaleChoice(id)}
<div class="plot" id="${id}-plot"></div>
${caption && html`<figcaption>${caption}</figcaption>`}
<details><summary>Table of the values<span class="unseen">: ${title}</span></summary>
${tableHtml(table, title, options)}
</details>
</figure>
`
}

function legend(figure: LineFigure): Html | false {
  // With several runs on the page a single curve must say whose it is.
  if (figure.series.length < 2 && figure.series[0]?.colour === undefined) return false
  const styles = seriesStyles(figure)
  const items = figure.series.map(({ name }, i) => {
    const { stroke, dashes } = styles[i]
    const line = html`<line x1="1" y1="4" x2="25" y2="4" style="stroke: ${stroke}"${dashes && html` stroke-dasharray="${dashes}"`}/>`
    return html`<li><svg class="key" aria-hidden="true" width="26" height="8">${line}</svg> ${name}</li>`
  })
  return html`<ul class="legend">${items}</ul>`
}

function scaleChoice(id: string): Html {
  return html`<p class="control" hidden><label for="${id}-scale">Colours</label>
<select id="${id}-scale"><option value="rows">each row from its lowest to its highest</option><option value="all">all cells on one scale</option></select></p>`
}

/** A table in a frame that scrolls by itself: the page never scrolls sideways. */
export function tableHtml({ columns, rows, note, file }: Table, name: string, { folder }: FrameOptions): Html {
  return html`<div class="scroll" role="region" tabindex="0" aria-label="Table: ${name}"><table>
<thead><tr>${columns.map(({ label, numeric }) => html`<th scope="col"${numeric && html` class="number"`}>${label}</th>`)}</tr></thead>
<tbody>
${rows.map((row) => html`<tr>${row.map((cell, i) => cellHtml(cell, columns[i], i))}</tr>\n`)}</tbody></table></div>
${note && html`<p class="note">${note} ${file && html`<a href="${fileLink(file, folder)}">${file}</a>`}</p>`}`
}

function cellHtml(cell: Cell, { numeric }: Column, index: number): Html {
  const text = cell === null ? '–' : String(cell)
  if (index === 0 && !numeric) return html`<th scope="row">${text}</th>`
  return numeric ? html`<td class="number">${text}</td>` : html`<td>${text}</td>`
}

/** Relative, so that page and runs may move together. */
function fileLink(file: string, folder: string): string {
  const parts = relative(folder, file).split(sep)
  return parts.map((part) => encodeURIComponent(part)).join('/')
}
