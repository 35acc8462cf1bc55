/** The service's page in a real browser. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import axe, { type AxeResults } from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { findChromium, openPage, startBrowser, tabThrough } from '../helpers/browser.js'
import { writeServiceModel } from '../helpers/service-models.js'
import { post, type Service, startService } from '../helpers/service-process.js'

/** Of the page: what `evaluate` is given runs there. */
declare const document: any
declare function getComputedStyle(element: any): Record<string, string>

const SENTENCE = 'Paris is the capital of France.'

describe('the page of examples/fastify-service', function () {
  this.timeout(60_000)
  const chromium = findChromium()
  let folder: string
  let service: Service
  let browser: Browser
  before(async function () {
    if (!chromium) {
      assert.ok(!process.env.STRATABERT_NEED_CHROMIUM, 'no Chromium here: apt-get install chromium')
      this.skip()
    }
    folder = mkdtempSync(join(tmpdir(), 'stratabert-page-'))
    await writeServiceModel(join(folder, 'tiny'), 3)
    service = await startService('examples/fastify-service/server.ts', [join(folder, 'tiny')], { THREADS: '1' })
    browser = await startBrowser(chromium)
  })
  after(async () => {
    await browser?.close()
    service?.process.kill('SIGKILL')
    if (folder) rmSync(folder, { recursive: true, force: true })
  })

  /** Caption, and the predictions by layer, top layer first. */
  async function shown(page: Page, caption: string): Promise<[string, string[]][]> {
    await page.locator('caption', { hasText: caption }).waitFor()
    return page.$$eval('tbody tr', (rows) =>
      rows.map((row): [string, string[]] => [
        row.querySelector('th')!.textContent!,
        [...row.querySelectorAll('li')].map((item) => item.textContent!),
      ]),
    )
  }

  async function expected(text: string): Promise<string[][]> {
    const layers = [3, 2, 1, 0].map(async (layer) => {
      const { body } = await post(`${service.address}/fill-mask`, { text, layer, topK: 5 })
      return body.masks[0].candidates.map(
        ({ token, probability }: any) => `${token} ${(100 * probability).toFixed(1)} %`,
      )
    })
    return Promise.all(layers)
  }

  it('shows what the API predicts, for the first word and for one that is typed and pressed', async () => {
    const { page, complaints, requests } = await openPage(browser, service.address)
    const first = await shown(page, 'He was born in the city of [MASK].')
    assert.deepEqual(
      first.map(([title]) => title),
      ['layer 3, top', 'layer 2', 'layer 1', 'embeddings'],
    )
    assert.deepEqual(
      first.map(([, items]) => items),
      await expected('He was born in the city of [MASK].'),
    )

    await page.fill('#sentence', SENTENCE)
    await page.getByRole('button', { name: 'capital' }).click()
    const text = 'Paris is the [MASK] of France.'
    const second = await shown(page, text)
    assert.deepEqual(
      second.map(([, items]) => items),
      await expected(text),
    )
    assert.equal(await page.locator('button[aria-pressed=true]').allTextContents().then(String), 'capital')
    // Every place where the hidden word came out is marked, and nothing else.
    const marked = await page.locator('li.original').allTextContents()
    assert.deepEqual(
      marked,
      second.flatMap(([, items]) => items.filter((item) => item.startsWith('capital '))),
    )
    assert.match((await page.locator('#model').textContent()) ?? '', /tiny, 3 layers/)
    assert.deepEqual(complaints, [])
    assert.deepEqual(
      requests.filter((address) => !address.startsWith(service.address) && !address.startsWith('data:')),
      [],
    )
    await page.context().close()
  })

  it('is worked with the keyboard alone', async () => {
    const { page, complaints } = await openPage(browser, service.address)
    await shown(page, 'of [MASK].')
    assert.equal((await tabThrough(page)).length, 1 + 8, 'the sentence and its eight words')
    await page.locator('#sentence').focus()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    const items = (await shown(page, 'He [MASK] born')).map(([, row]) => row)
    assert.deepEqual(items, await expected('He [MASK] born in the city of London.'))
    assert.deepEqual(complaints, [])
    await page.context().close()
  })

  it('puts words of a sentence, and errors, on the page as text', async () => {
    const { page } = await openPage(browser, service.address)
    await shown(page, 'of [MASK].')
    await page.fill('#sentence', '<img src=x onerror=window.hacked=1> was born')
    await page.getByRole('button', { name: 'born' }).click()
    await shown(page, '<img src=x onerror=window.hacked=1> was [MASK]')
    assert.equal(await page.locator('img').count(), 0)
    assert.equal(await page.evaluate('window.hacked'), undefined)
    // Longer than the encoder's 64 positions.
    await page.fill('#sentence', `${'city '.repeat(80)}end`)
    await page.getByRole('button', { name: 'end' }).click()
    await page.locator('[role=alert]', { hasText: 'more than 64 tokens' }).waitFor()
    assert.equal(await page.locator('table').isVisible(), false)
    await page.context().close()
  })

  for (const colorScheme of ['light', 'dark'] as const) {
    it(`reads in ${colorScheme} at 1200 and at 400 px`, async () => {
      for (const width of [1200, 400]) {
        const { page, complaints } = await openPage(browser, service.address, {
          colorScheme,
          viewport: { width, height: 800 },
        })
        await shown(page, 'of [MASK].')
        const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
        assert.equal(ground, colorScheme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(22, 24, 28)')
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width)
        await page.addScriptTag({ content: axe.source })
        const { violations } = (await page.evaluate('axe.run()')) as AxeResults
        assert.deepEqual(
          violations.map(({ id, nodes }) => [id, nodes[0].html]),
          [],
        )
        assert.deepEqual(complaints, [])
        await page.context().close()
      }
    })
  }
})
