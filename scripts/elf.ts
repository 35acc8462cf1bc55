/** The little that is needed of ELF files: sections, needed libraries, symbol versions (System V ABI; "Linux Standard Base", symbol versioning). */
import { closeSync, openSync, readSync } from 'node:fs'

export interface ElfSection {
  name: string
  type: number
  offset: number
  bytes: number
  /** Index of the section that this one refers to. */
  link: number
}

/** What an addon asks of the system that loads it. */
export interface ElfNeeds {
  /** DT_NEEDED, in order. */
  libraries: string[]
  /** DT_RPATH and DT_RUNPATH. */
  runPaths: string[]
  /** Highest version of each family of symbol versions that is asked for, e.g. `{ GLIBC: '2.34', GLIBCXX: '3.4.22' }`. */
  versions: Record<string, string>
  /** The other versions that are asked for, such as `GLIBC_ABI_DT_RELR` (relative relocations in packed form, glibc 2.36). */
  unnumbered: string[]
}

const VERSION_NEEDS = 0x6ffffffe
const DYNAMIC = 6
const [DT_NULL, DT_NEEDED, DT_RPATH, DT_RUNPATH] = [0, 1, 15, 29]

/** Runs `use` with a reader of the file's bytes. */
export function withElf<T>(path: string, use: (read: (offset: number, bytes: number) => Buffer) => T): T {
  const descriptor = openSync(path, 'r')
  try {
    const read = (offset: number, bytes: number): Buffer => {
      const buffer = Buffer.alloc(bytes)
      if (readSync(descriptor, buffer, 0, bytes, offset) !== bytes) throw new Error(`${path} is cut short`)
      return buffer
    }
    if (read(0, 6).toString('latin1') !== '\x7fELF\x02\x01')
      throw new Error(`${path} is no 64-bit little-endian ELF file`)
    return use(read)
  } finally {
    closeSync(descriptor)
  }
}

export function elfSections(read: (offset: number, bytes: number) => Buffer): ElfSection[] {
  const header = read(0, 64)
  const [entryBytes, count, namesIndex] = [58, 60, 62].map((at) => header.readUInt16LE(at))
  const table = read(Number(header.readBigUInt64LE(40)), entryBytes * count)
  const raw = Array.from({ length: count }, (_, i) => {
    const at = i * entryBytes
    return {
      nameAt: table.readUInt32LE(at),
      type: table.readUInt32LE(at + 4),
      offset: Number(table.readBigUInt64LE(at + 24)),
      bytes: Number(table.readBigUInt64LE(at + 32)),
      link: table.readUInt32LE(at + 40),
    }
  })
  const names = read(raw[namesIndex].offset, raw[namesIndex].bytes)
  return raw.map(({ nameAt, ...section }) => ({ name: text(names, nameAt), ...section }))
}

export function elfNeeds(path: string): ElfNeeds {
  return withElf(path, (read) => {
    const sections = elfSections(read)
    const needs: ElfNeeds = { libraries: [], runPaths: [], versions: {}, unnumbered: [] }
    for (const section of sections) {
      if (section.type !== DYNAMIC && section.type !== VERSION_NEEDS) continue
      const data = read(section.offset, section.bytes)
      const strings = read(sections[section.link].offset, sections[section.link].bytes)
      if (section.type === DYNAMIC) readDynamic(data, strings, needs)
      else readVersions(data, strings, needs)
    }
    return needs
  })
}

function readDynamic(data: Buffer, strings: Buffer, needs: ElfNeeds): void {
  for (let at = 0; at + 16 <= data.length; at += 16) {
    const tag = Number(data.readBigInt64LE(at))
    const value = Number(data.readBigUInt64LE(at + 8))
    if (tag === DT_NULL) return
    if (tag === DT_NEEDED) needs.libraries.push(text(strings, value))
    if (tag === DT_RPATH || tag === DT_RUNPATH) needs.runPaths.push(text(strings, value))
  }
}

// One Verneed a library, each with a chain of Vernaux: a version by name.
function readVersions(data: Buffer, strings: Buffer, { versions, unnumbered }: ElfNeeds): void {
  for (let at = 0; ; ) {
    const count = data.readUInt16LE(at + 2)
    for (let i = 0, entry = at + data.readUInt32LE(at + 8); i < count; i++) {
      const name = text(strings, data.readUInt32LE(entry + 8))
      const [, family, version] = /^([A-Z]+)_([\d.]+)$/.exec(name) ?? []
      if (!family) unnumbered.push(name)
      else if (compareVersions(version, versions[family] ?? '0') > 0) versions[family] = version
      entry += data.readUInt32LE(entry + 12)
    }
    const next = data.readUInt32LE(at + 12)
    if (next === 0) return
    at += next
  }
}

/** Like a sort function, on dotted numbers. */
export function compareVersions(left: string, right: string): number {
  const [a, b] = [left, right].map((version) => version.split('.').map(Number))
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) - (b[i] ?? 0)
  }
  return 0
}

function text(strings: Buffer, at: number): string {
  return strings.toString('latin1', at, strings.indexOf(0, at))
}
