/** The script of the page: draws every figure from the data in the page, and again when its width or a control changes. */
import type { Figure, PageData } from '../figure.js'
import { drawHeat } from './heat.js'
import { drawIntervals } from './intervals.js'
import { drawLines } from './lines.js'

/** What the page's controls say. */
export interface View {
  width: number
  /** Weight of the past in the moving average. */
  smoothing: number
  /** Logged values behind the average. */
  raw: boolean
  /** Of a heat map's colours. */
  scale: 'rows' | 'all'
}

const byId = <E extends Element | null = HTMLElement>(id: string) => document.getElementById(id) as unknown as E
const data: PageData = JSON.parse(byId('report-data').textContent ?? '')
const controls = {
  smoothing: byId<HTMLInputElement | null>('smoothing'),
  raw: byId<HTMLInputElement | null>('raw'),
}

function draw(figure: Figure): void {
  const holder = byId(`${figure.id}-plot`)
  const scale = byId<HTMLSelectElement | null>(`${figure.id}-scale`)
  const view: View = {
    width: Math.max(240, holder.clientWidth),
    smoothing: Number(controls.smoothing?.value ?? 0),
    raw: controls.raw?.checked ?? true,
    scale: (scale?.value ?? 'all') as View['scale'],
  }
  const svg = drawing(figure, view)
  // An image has one name: those of its parts, which Plot gives to elements without a role, are kept for programs alone.
  for (const part of svg.querySelectorAll('[aria-label]')) {
    part.setAttribute('data-mark', part.getAttribute('aria-label') ?? '')
    part.removeAttribute('aria-label')
  }
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-labelledby', `${figure.id}-title`)
  svg.setAttribute('aria-describedby', `${figure.id}-description`)
  holder.replaceChildren(svg)
  // A wide heat map scrolls by itself: those without a pointer must be able to scroll it too.
  if (holder.scrollWidth > holder.clientWidth + 1) {
    holder.tabIndex = 0
    holder.setAttribute('role', 'region')
    holder.setAttribute('aria-labelledby', `${figure.id}-title`)
  } else for (const name of ['tabindex', 'role', 'aria-labelledby']) holder.removeAttribute(name)
}

function drawing(figure: Figure, view: View): Element {
  if (figure.kind === 'lines') return drawLines(figure, view)
  return figure.kind === 'heat' ? drawHeat(figure, view) : drawIntervals(figure, view)
}

function start(): void {
  if (controls.smoothing) {
    controls.smoothing.value = String(data.smoothing)
    const tell = () => {
      byId('smoothing-value').textContent = Number(controls.smoothing?.value).toFixed(2)
    }
    tell()
    const again = () => {
      tell()
      for (const figure of data.figures) if (figure.kind === 'lines' && figure.smoothed) draw(figure)
    }
    controls.smoothing.addEventListener('input', again)
    controls.raw?.addEventListener('input', again)
  }
  for (const control of document.querySelectorAll<HTMLElement>('.control')) control.hidden = false
  const widths = new Map<Element, number>()
  const watcher = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const figure = data.figures.find(({ id }) => `${id}-plot` === target.id)
      if (!figure || widths.get(target) === contentRect.width) continue
      widths.set(target, contentRect.width)
      draw(figure)
    }
  })
  for (const figure of data.figures) {
    draw(figure)
    const holder = byId(`${figure.id}-plot`)
    widths.set(holder, holder.clientWidth)
    watcher.observe(holder)
    byId(`${figure.id}-scale`)?.addEventListener('input', () => draw(figure))
  }
}

start()
