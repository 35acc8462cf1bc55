/** A headless Chromium for pages that the package writes or an example serves. */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'

/** Of the page: what `evaluate` is given runs there. */
declare const document: any

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']

/** STRATABERT_CHROMIUM, or the first on the path. */
export function findChromium(): string | undefined {
  const { STRATABERT_CHROMIUM: asked, PATH = '' } = process.env
  if (asked) return asked
  const folders = PATH.split(delimiter)
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path))
}

/** Chromium's own sandbox does not work for root. */
export const startBrowser = (executablePath: string): Promise<Browser> =>
  chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] })

export interface OpenedPage {
  page: Page
  /** Console errors and warnings, uncaught errors. */
  complaints: string[]
  /** Addresses of every request, the page's own among them. */
  requests: string[]
}

/** Opens a file, or an http address. */
export async function openPage(
  browser: Browser,
  target: string,
  options: BrowserContextOptions = {},
): Promise<OpenedPage> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, colorScheme: 'light', ...options })
  const page = await context.newPage()
  const opened: OpenedPage = { page, complaints: [], requests: [] }
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) opened.complaints.push(message.text())
  })
  page.on('pageerror', (error) => opened.complaints.push(String(error)))
  page.on('request', (request) => opened.requests.push(request.url()))
  await page.goto(target.startsWith('http:') ? target : pathToFileURL(target).href)
  return opened
}

/** The rows of each figure's table, by the figure's title. */
export async function figureTables(page: Page): Promise<Record<string, string[][]>> {
  const tables = await page.$$eval('figure', (figures) =>
    figures.map((figure) => {
      const rows = [...figure.querySelectorAll('tbody tr')]
      const cells = rows.map((row) => [...row.children].map((cell) => cell.textContent ?? ''))
      return [figure.querySelector('h3')?.textContent ?? '', cells] as const
    }),
  )
  return Object.fromEntries(tables)
}

/** What has the focus after each press, until it comes round. */
export async function tabThrough(page: Page): Promise<string[]> {
  const reached: string[] = []
  for (let press = 0; press < 400; press++) {
    await page.keyboard.press('Tab')
    const focused = await page.evaluate(() => {
      const element = document.activeElement
      return element && element !== document.body ? element.outerHTML.slice(0, 120) : ''
    })
    if (focused === '') break
    reached.push(focused)
  }
  return reached
}
