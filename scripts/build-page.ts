/**
 * The report's page script and style sheet: lib/report/page with Observable Plot in one file, into dist/report/page. Skipped when
 * nothing changed. The licences of what is inside stand at the script's top.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { buildSync } from 'esbuild'

const root = resolve(__dirname, '..')
const sources = join(root, 'lib', 'report')
const target = join(root, 'dist', 'report', 'page')

export function buildPage(): void {
  const stamp = join(target, '.sources')
  const hash = sourcesHash()
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return
  mkdirSync(target, { recursive: true })
  const common = { absWorkingDir: root, bundle: true, minify: true, write: false, outdir: target } as const
  const script = buildSync({
    ...common,
    entryPoints: [join(sources, 'page', 'main.ts')],
    format: 'iife',
    target: 'es2022',
    charset: 'ascii',
    legalComments: 'none',
    metafile: true,
  })
  const style = buildSync({ ...common, entryPoints: [join(sources, 'page', 'page.css')] })
  const [output] = Object.values(script.metafile.outputs)
  const inside = Object.entries(output.inputs).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? path : []))
  writeFileSync(join(target, 'page.js'), `/*!\n${licences(inside)}\n*/\n${script.outputFiles[0].text}`)
  writeFileSync(join(target, 'page.css'), style.outputFiles[0].text)
  writeFileSync(stamp, hash)
}

/** Each licence text once, under the names and copyright lines of the packages that have it. */
function licences(paths: readonly string[]): string {
  const packages = new Set(paths.flatMap((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1] ?? []))
  const byText = new Map<string, string[]>()
  for (const name of [...packages].sort()) {
    const folder = join(root, 'node_modules', name)
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
    if (!file) throw new Error(`${name} has no licence file; the page may not hold it`)
    const lines = readFileSync(join(folder, file), 'utf8').trim().replaceAll('*/', '* /').split(/\r?\n/)
    const isOwner = (line: string) => /^copyright (\(c\) )?\d{4}/i.test(line)
    const owners = lines.filter(isOwner).join(' ')
    const text = lines
      .filter((line) => !isOwner(line))
      .join('\n')
      .trim()
    byText.set(text, [...(byText.get(text) ?? []), `${name} ${version}: ${owners}`])
  }
  return [...byText].map(([text, names]) => `${names.join('\n')}\n\n${text}`).join('\n\n')
}

function sourcesHash(): string {
  const hash = createHash('sha256')
  const files = (readdirSync(sources, { recursive: true }) as string[]).filter((name) => /\.(ts|css|json)$/.test(name))
  for (const name of files.sort()) hash.update(name).update(readFileSync(join(sources, name)))
  hash.update(readFileSync(join(root, 'node_modules', '@observablehq', 'plot', 'package.json')))
  return hash.update(readFileSync(__filename)).digest('hex')
}

if (require.main === module) buildPage()
