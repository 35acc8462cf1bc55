/**
 * Which compute capabilities a libtorch_cuda has kernels for, for lib/runtime/cuda-kernels.ts: `npx tsx scripts/cuda-kernels.ts
 * …/torch/lib/libtorch_cuda.so`. Walks the fat binaries in section .nv_fatbin, whose headers stand in the clear even when the
 * code is compressed. They are not documented; every one must begin with its magic number where the one before it ends. A capability counts
 * when most fat binaries have it: a few kernels are made for single cards.
 */
import { elfSections, withElf } from './elf.js'

const MAGIC = 0xba55ed50
const [PTX, BINARY] = [1, 2]

const version = (arch: number): string => `${Math.floor(arch / 10)}.${arch % 10}`

for (const path of process.argv.slice(2)) {
  const counts = { binary: new Map<number, number>(), ptx: new Map<number, number>() }
  withElf(path, (read) => {
    const sections = elfSections(read).filter(({ name }) => /nv_fatbin|nv_relfatbin/.test(name))
    if (sections.length === 0) throw new Error(`${path} has no fat binaries`)
    for (const { offset, bytes } of sections) {
      const end = offset + bytes
      for (let at = offset; at + 16 <= end; ) {
        const header = read(at, 16)
        if (header.readUInt32LE(0) === 0) {
          at += 8
          continue
        }
        if (header.readUInt32LE(0) !== MAGIC) throw new Error(`${path}: no fat binary at byte ${at}`)
        const first = at + header.readUInt16LE(6)
        const next = first + Number(header.readBigUInt64LE(8))
        for (let entry = first; entry < next; ) {
          const fields = read(entry, 32)
          const kind = fields.readUInt16LE(0)
          const arch = fields.readUInt32LE(28)
          const list = kind === PTX ? counts.ptx : kind === BINARY ? counts.binary : null
          list?.set(arch, (list.get(arch) ?? 0) + 1)
          entry += fields.readUInt32LE(4) + Number(fields.readBigUInt64LE(8))
        }
        at = next
      }
    }
  })
  const show = (list: Map<number, number>): string =>
    [...list]
      .sort(([a], [b]) => a - b)
      .map(([arch, count]) => `${version(arch)} (${count})`)
      .join(', ')
  const most = Math.max(...counts.binary.values()) / 2
  const common = [...counts.binary].filter(([, count]) => count > most).map(([arch]) => arch)
  console.log(
    `${path}: ${common
      .sort((a, b) => a - b)
      .map(version)
      .join(', ')}`,
  )
  console.log(`  binary: ${show(counts.binary)}\n  ptx: ${show(counts.ptx) || 'none'}`)
}
