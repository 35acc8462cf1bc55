/**
 * The pictures of the layer page in docs/images: `npx tsx scripts/layer-pictures.ts CHECKPOINT SENTENCE WORD` serves a checkpoint with
 * examples/fastify-service, hides the word and draws the page in light, dark and at 400 px. Needs Chromium.
 */
import { resolve } from 'node:path'
import { findChromium, openPage, startBrowser } from '../test/helpers/browser.js'
import { startService } from '../test/helpers/service-process.js'

const PICTURES = [
  { name: 'light', colorScheme: 'light', viewport: { width: 900, height: 640 } },
  { name: 'dark', colorScheme: 'dark', viewport: { width: 900, height: 640 } },
  { name: 'narrow', colorScheme: 'light', viewport: { width: 400, height: 900 } },
] as const

async function main([checkpoint, sentence, word]: string[]): Promise<void> {
  const chromium = findChromium()
  if (!word || !chromium) throw new Error('CHECKPOINT, SENTENCE, WORD and Chromium are needed')
  const service = await startService('examples/fastify-service/server.ts', [checkpoint])
  const browser = await startBrowser(chromium)
  try {
    for (const { name, ...look } of PICTURES) {
      const { page } = await openPage(browser, service.address, look)
      await page.locator('tbody tr').first().waitFor()
      await page.fill('#sentence', sentence)
      await page.getByRole('button', { name: word, exact: true }).click()
      await page.locator('caption', { hasText: sentence.replace(new RegExp(`\\b${word}\\b`), '[MASK]') }).waitFor()
      await page.screenshot({ path: resolve(__dirname, `../docs/images/layers-${name}.png`), fullPage: true })
    }
  } finally {
    await browser.close()
    service.process.kill('SIGTERM')
  }
}

main(process.argv.slice(2))
