/**
 * Which sources a prebuilt addon was made of, as a stamp beside it that is not published: `npm run prebuild` for one libtorch, or a change after it,
 * leaves older addons of the others in the checkout, and npm would pack them without a word.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(__dirname, '..')
const STAMP = '.sources'

/** Of everything that is compiled into the addons: the C++ sources, how they are built, and the package's version. */
export function nativeSourcesHash(): string {
  const hash = createHash('sha256').update(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version)
  const files = (readdirSync(join(root, 'native'), { recursive: true }) as string[]).map((name) => join('native', name))
  for (const name of ['CMakeLists.txt', ...files.sort()]) {
    const path = join(root, name)
    if (statSync(path).isFile()) hash.update(name).update(readFileSync(path))
  }
  return hash.digest('hex')
}

/** `sources`: the hash before the addon in `folder` was compiled, so that an edit meanwhile shows. */
export function stampAddon(folder: string, sources: string): void {
  writeFileSync(join(folder, STAMP), sources)
}

/** Folders of prebuilt addons that were made of other sources than those here, or nobody knows of which; `addons` is the folder of all. */
export function staleAddons(addons = join(root, 'addons')): string[] {
  const folders = (existsSync(addons) ? readdirSync(addons) : []).flatMap((name) => {
    const prebuilds = join(addons, name, 'prebuilds')
    return existsSync(prebuilds) ? readdirSync(prebuilds).map((platform) => join(prebuilds, platform)) : []
  })
  if (folders.length === 0) return []
  const sources = nativeSourcesHash()
  return folders.filter((folder) => {
    const stamp = join(folder, STAMP)
    return !existsSync(stamp) || readFileSync(stamp, 'utf8') !== sources
  })
}
