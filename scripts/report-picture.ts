/**
 * The pictures of reports in docs/: `npx tsx scripts/report-picture.ts REPORT.html OUTPUT.png SECTION…` draws the named sections (the ids in
 * the page's links) as a reader with a window of 1,100 px sees them. Needs Chromium.
 */
import { resolve } from 'node:path'
import { findChromium, openPage, startBrowser } from '../test/helpers/browser.js'

/** Of the page, where `evaluate` runs. */
declare const document: any

async function main(): Promise<void> {
  const [report, output, ...sections] = process.argv.slice(2)
  const chromium = findChromium()
  if (!report || !output || sections.length === 0 || !chromium)
    throw new Error('REPORT.html OUTPUT.png SECTION… and Chromium are needed')
  const browser = await startBrowser(chromium)
  try {
    const { page } = await openPage(browser, resolve(report), { viewport: { width: 1100, height: 700 } })
    await page.evaluate((wanted) => {
      for (const section of document.querySelectorAll('main > section'))
        if (!wanted.includes(section.id)) section.remove()
    }, sections)
    await page.locator('main').screenshot({ path: resolve(output) })
  } finally {
    await browser.close()
  }
}

main()
