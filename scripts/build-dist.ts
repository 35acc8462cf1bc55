/**
 * Writes dist/: CommonJS and types by tsc, an ESM wrapper of the same names (one copy of the module, whichever way it is imported), the
 * executable's first line. Skipped when nothing changed, unless --force is given. Types are checked by `npm run types`.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { buildPage } from './build-page.js'

const root = resolve(__dirname, '..')
const dist = join(root, 'dist')
const stamp = join(dist, '.sources')

export function buildDist(force = false): void {
  const sources = sourcesHash()
  if (!force && existsSync(stamp) && readFileSync(stamp, 'utf8') === sources) return
  const started = Date.now()
  rmSync(dist, { recursive: true, force: true })
  const typescript = dirname(createRequire(__filename).resolve('typescript/package.json'))
  execFileSync(process.execPath, [join(typescript, 'bin', 'tsc'), '-p', 'tsconfig.build.json', '--noCheck'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  })
  writeEsmWrapper()
  buildPage()
  const executable = join(dist, 'cli', 'main.js')
  if (existsSync(executable)) chmodSync(executable, 0o755)
  writeFileSync(stamp, sources)
  console.error(`dist/ is built (${((Date.now() - started) / 1000).toFixed(1)} s)`)
}

// The names are those that the CommonJS module really has: Node's own guess from its text could miss some.
function writeEsmWrapper(): void {
  const main = join(dist, 'index.js')
  if (!existsSync(main)) return
  const names = Object.keys(createRequire(__filename)(main) as object).filter(
    (name) => name !== 'default' && name !== '__esModule',
  )
  const list = names.sort().map((name) => `  ${name},`)
  writeFileSync(
    join(dist, 'index.mjs'),
    `import stratabert from './index.js'\n\nexport const {\n${list.join('\n')}\n} = stratabert\n`,
  )
  writeFileSync(join(dist, 'index.d.mts'), `export * from './index.js'\n`)
}

function sourcesHash(): string {
  const hash = createHash('sha256')
  for (const name of ['package.json', 'tsconfig.json', 'tsconfig.build.json'])
    hash.update(readFileSync(join(root, name)))
  const files = (readdirSync(join(root, 'lib'), { recursive: true }) as string[])
    .filter((name) => /\.[mc]?ts$|\.json$|\.css$/.test(name))
    .sort()
  for (const name of files) hash.update(name).update(readFileSync(join(root, 'lib', name)))
  return hash.digest('hex')
}

if (require.main === module) buildDist(process.argv.includes('--force'))
