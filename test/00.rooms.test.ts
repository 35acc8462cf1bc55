/** The rooms of lib/: whoever imports from another room imports from one below. docs/architecture.md says the same in words. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

const LIB = join(__dirname, '..', 'lib')
/** From the lowest to the highest. */
const ROOMS = [
  'runtime',
  'text',
  'model',
  'data',
  'objectives',
  'tasks',
  'evaluation',
  'training',
  'inference',
  'recipes',
  'experiments',
  'report',
  'cli',
]

const roomOf = (file: string): string => (file.includes('/') ? file.slice(0, file.indexOf('/')) : '')

/** Files of lib/ with the files of lib/ that they import, types included. */
function imports(): [file: string, target: string][] {
  const files = (readdirSync(LIB, { recursive: true }) as string[]).filter(
    (name) => name.endsWith('.ts') && !name.startsWith('report/page/'),
  )
  return files.flatMap((file) =>
    [...readFileSync(join(LIB, file), 'utf8').matchAll(/(?:from|import)\s*\(?'(\.{1,2}\/[^']+)'/g)].map(
      ([, target]): [string, string] => [file, normalize(join(dirname(file), target))],
    ),
  )
}

describe('rooms', () => {
  it('every room has its place', () => {
    const rooms = readdirSync(LIB, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    )
    assert.deepEqual(rooms.sort(), [...ROOMS].sort())
  })

  it('imports go from a room to those below it, so that there is no circle', () => {
    const upward = imports().filter(([file, target]) => {
      const [from, to] = [roomOf(file), roomOf(target)]
      return from !== '' && to !== '' && ROOMS.indexOf(to) > ROOMS.indexOf(from)
    })
    assert.deepEqual(upward, [])
    assert.ok(imports().length > 1000)
  })
})
