/** Before `npm pack` and `npm publish`: dist/ as the sources are now, and the bill of materials; no addon of other sources. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { SUPPORTED_MINORS } from '../lib/runtime/versions.js'
import { staleAddons } from './addon-sources.js'
import { buildDist } from './build-dist.js'
import { writeBill } from './package-bill.js'

const addons = resolve(__dirname, '..', 'addons')
const platform = `${process.platform}-${process.arch}`

const stale = staleAddons()
if (stale.length > 0) {
  console.error(
    `error: prebuilt addons of other sources than those here: ${stale.join(', ')}; expected those of this checkout: make them anew (npm run prebuild), or delete these folders`,
  )
  process.exit(1)
}
buildDist()
writeBill()
// A build in the checkout does not travel: without these the package computes nowhere.
const there = ['boot', ...SUPPORTED_MINORS.map((minor) => `torch-${minor}`)].filter((name) =>
  existsSync(join(addons, name, 'prebuilds', platform)),
)
if (!there.includes('boot') || there.length === 1)
  console.error(`warning: the package will hold no addon for ${platform}; make them first: npm run prebuild`)
