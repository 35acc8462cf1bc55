/**
 * Writes lib/runtime/libtorch-manifest.ts: which wheels make up a libtorch build, with bytes and SHA-256. A maintainer runs it when a
 * version is added: `npx tsx scripts/pin-libtorch.ts --wheels DIR`. Every hash is taken from pip's own report *and* from the
 * downloaded file; the two must agree. Nothing in the manifest is typed by hand.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'

const VERSIONS = ['2.11.0', '2.12.1', '2.13.0', '2.14.1']
const PLATFORM = 'linux-x64'
/** The CPU flavour is the CUDA build without its CUDA part; libtorch_cpu itself still needs these two. */
const CPU_PACKAGES = ['torch', 'nvidia-cuda-runtime', 'nvidia-cuda-cupti']

interface ReportItem {
  metadata: { name: string; version: string }
  download_info: { url: string; archive_info: { hashes: { sha256: string } } }
}

// `--platform` switches off pip's own expansion of compatible tags, so they are all named.
function target(): string[] {
  const tags = ['manylinux2014_x86_64', ...Array.from({ length: 30 }, (_, i) => `manylinux_2_${i + 5}_x86_64`)]
  return [
    ...['--only-binary=:all:', '--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311', '--abi', 'none'],
    ...tags.flatMap((tag) => ['--platform', tag]),
  ]
}

function pip(args: string[]): void {
  execFileSync(process.env.STRATABERT_PYTHON ?? 'python3', ['-m', 'pip', ...args], { stdio: ['ignore', 2, 2] })
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { wheels: { type: 'string' } } })
  if (!values.wheels) throw new Error('pass --wheels DIR: where the wheels are downloaded to (about 6 GB)')
  const folder = resolve(values.wheels)
  mkdirSync(folder, { recursive: true })
  const wheels: Record<string, { name: string; version: string; bytes: number; sha256: string }> = {}
  const builds: { version: string; flavour: string; platform: string; wheels: string[] }[] = []
  for (const version of VERSIONS) {
    const report = join(folder, `report-${version}.json`)
    pip([
      'install',
      '--dry-run',
      '--ignore-installed',
      '--quiet',
      ...target(),
      '--target',
      folder,
      '--report',
      report,
      `torch==${version}`,
    ])
    const items = (JSON.parse(readFileSync(report, 'utf8')).install as ReportItem[]).filter(
      ({ metadata }) => metadata.name === 'torch' || metadata.name.startsWith('nvidia-'),
    )
    items.sort((a, b) =>
      a.metadata.name === 'torch' ? -1 : b.metadata.name === 'torch' ? 1 : a.metadata.name < b.metadata.name ? -1 : 1,
    )
    const files: { name: string; file: string }[] = []
    for (const { metadata, download_info } of items) {
      const file = decodeURIComponent(download_info.url.split('/').pop()!)
      const path = join(folder, file)
      if (!existsSync(path)) {
        pip([
          'download',
          '--quiet',
          '--no-deps',
          '--no-cache-dir',
          ...target(),
          '-d',
          folder,
          `${metadata.name}==${metadata.version}`,
        ])
      }
      const said = download_info.archive_info.hashes.sha256
      if (!wheels[file]) {
        const found = await sha256(path)
        if (found !== said) throw new Error(`${file}: pip's report says ${said}, the file has ${found}`)
        wheels[file] = { name: metadata.name, version: metadata.version, bytes: statSync(path).size, sha256: found }
      }
      files.push({ name: metadata.name, file })
    }
    const cpu = files.filter(({ name }) => CPU_PACKAGES.includes(name))
    builds.push({ version, flavour: 'cpu', platform: PLATFORM, wheels: cpu.map(({ file }) => file) })
    builds.push({ version, flavour: 'cu130', platform: PLATFORM, wheels: files.map(({ file }) => file) })
  }
  const text = `// Written by scripts/pin-libtorch.ts; do not edit.
import type { LibtorchManifest } from './manifest.js'

export const libtorchManifest: LibtorchManifest = ${JSON.stringify({ wheels, builds }, null, 2)}
`
  const output = resolve(__dirname, '..', 'lib', 'runtime', 'libtorch-manifest.ts')
  writeFileSync(output, text)
  execFileSync('npx', ['biome', 'check', '--write', output], { stdio: 'inherit', cwd: resolve(__dirname, '..') })
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
