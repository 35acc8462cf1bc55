/** Folders and wheels that look like libtorch: real ELF files (copies of the boot addon) without a tensor in them. */
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { resolveAddon } from '../../lib/runtime/boot.js'
import type { LibtorchManifest } from '../../lib/runtime/manifest.js'

/** A new folder that is deleted by the returned function. */
export function temporaryFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'stratabert-runtime-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** Writes `directory`/{lib,version.py} and returns `directory`. */
export function fakeTree(
  directory: string,
  version: string,
  options: { cuda?: boolean; buildVersion?: boolean } = {},
): string {
  mkdirSync(join(directory, 'lib'), { recursive: true })
  for (const name of ['libtorch_cpu.so', 'libc10.so', ...(options.cuda ? ['libtorch_cuda.so'] : [])]) {
    copyFileSync(resolveAddon('boot'), join(directory, 'lib', name))
  }
  if (options.buildVersion) writeFileSync(join(directory, 'build-version'), `${version}\n`)
  else
    writeFileSync(
      join(directory, 'version.py'),
      `from typing import Optional\n__version__ = '${version}'\ndebug = False\n`,
    )
  return directory
}

/** A ZIP archive with stored (not compressed) entries. */
export function zipBytes(files: Record<string, Buffer | string>): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const [name, content] of Object.entries(files)) {
    const data = Buffer.from(content as string)
    const path = Buffer.from(name)
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(20, 4)
    local.writeUInt32LE(crc32(data), 14)
    local.writeUInt32LE(data.length, 18)
    local.writeUInt32LE(data.length, 22)
    local.writeUInt16LE(path.length, 26)
    const central = Buffer.alloc(46)
    central.writeUInt32LE(0x02014b50, 0)
    central.writeUInt16LE(0x031e, 4)
    local.copy(central, 6, 4, 30)
    central.writeUInt32LE((0o100644 << 16) >>> 0, 38)
    central.writeUInt32LE(offset, 42)
    parts.push(local, path, data)
    directory.push(central, path)
    offset += local.length + path.length + data.length
  }
  const index = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(Object.keys(files).length, 8)
  end.writeUInt16LE(Object.keys(files).length, 10)
  end.writeUInt32LE(index.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...parts, index, end])
}

const PLATFORM_TAG = process.arch === 'arm64' ? 'manylinux_2_28_aarch64' : 'manylinux_2_28_x86_64'

/** Writes two wheels into `folder` (for pip's find-links) and returns the manifest that pins them. */
export function fakeWheels(folder: string, version = '2.13.0'): LibtorchManifest {
  mkdirSync(folder, { recursive: true })
  const library = readFileSync(resolveAddon('boot'))
  const contents: [string, string, string, Record<string, Buffer | string>][] = [
    [
      'torch',
      version,
      `torch-${version}-cp311-cp311-${PLATFORM_TAG}.whl`,
      {
        'torch/lib/libtorch_cpu.so': library,
        'torch/lib/libc10.so': library,
        'torch/lib/libgomp.so.1': library,
        'torch/lib/libtorch_python.so': library,
        'torch/include/ATen/ATen.h': '// header\n',
        'torch/nn/functional.py': 'pass\n',
        'torch/version.py': `__version__ = '${version}+cu130'\n`,
      },
    ],
    [
      'nvidia-cuda-runtime',
      '13.0.96',
      `nvidia_cuda_runtime-13.0.96-py3-none-${PLATFORM_TAG}.whl`,
      { 'nvidia/cu13/lib/libcudart.so.13': library, 'nvidia/cu13/include/cuda.h': '// header\n' },
    ],
  ]
  const manifest: LibtorchManifest = { wheels: {}, builds: [] }
  for (const [name, wheelVersion, file, files] of contents) {
    const info = `${name.replaceAll('-', '_')}-${wheelVersion}.dist-info`
    const tag = file
      .replace(/\.whl$/, '')
      .split('-')
      .slice(-3)
      .join('-')
    const bytes = zipBytes({
      ...files,
      [`${info}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: ${wheelVersion}\n`,
      [`${info}/WHEEL`]: `Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: ${tag}\n`,
      [`${info}/RECORD`]: '',
    })
    writeFileSync(join(folder, file), bytes)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    manifest.wheels[file] = { name, version: wheelVersion, bytes: statSync(join(folder, file)).size, sha256 }
  }
  const platform = `${process.platform}-${process.arch}`
  manifest.builds.push({ version, flavour: 'cpu', platform, wheels: Object.keys(manifest.wheels) })
  return manifest
}
