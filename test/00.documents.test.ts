/** What the documents name is there: commands, and the files that they link. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const root = resolve(__dirname, '..')
const documents = [
  ...readdirSync(root).map((name) => join(root, name)),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => join(root, 'docs', name)),
  ...readdirSync(join(root, 'benchmarks')).map((name) => join(root, 'benchmarks', name)),
].filter((path) => path.endsWith('.md') && !path.includes(`${join('docs', 'api')}/`))

describe('the documents', () => {
  it('name commands that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    const unknown = documents.flatMap((path) =>
      [...readFileSync(path, 'utf8').matchAll(/npm run (?:-s )?([a-z][\w:-]*)/g)]
        .filter(([, name]) => !(name in scripts))
        .map(([command]) => `${relative(root, path)}: ${command}`),
    )
    assert.deepEqual(unknown, [])
    assert.ok(documents.length > 15)
  })

  it('link files that exist', () => {
    const broken = documents.flatMap((path) =>
      [...readFileSync(path, 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
        .filter(([, target]) => !existsSync(resolve(dirname(path), target)))
        .map(([, target]) => `${relative(root, path)}: ${target}`),
    )
    assert.deepEqual(broken, [])
  })
})
