/**
 * The pictures of reports in docs/: `npx tsx scripts/report-picture.ts REPORT.html SELECTOR OUTPUT.png` draws a part of the page, like
 * `#losses` or `#probes .figures`, as a reader with a window of 1,100 px sees it. Needs Chromium.
 */
import { resolve } from 'node:path'
import { findChromium, openPage, startBrowser } from '../test/helpers/browser.js'

async function main(): Promise<void> {
  const [report, selector, output] = process.argv.slice(2)
  const chromium = findChromium()
  if (!report || !selector || !output || !chromium)
    throw new Error('REPORT.html SELECTOR OUTPUT.png and Chromium are needed')
  const browser = await startBrowser(chromium)
  try {
    const { page } = await openPage(browser, resolve(report), { viewport: { width: 1100, height: 700 } })
    await page
      .locator(selector)
      .first()
      .screenshot({ path: resolve(output) })
  } finally {
    await browser.close()
  }
}

main()
