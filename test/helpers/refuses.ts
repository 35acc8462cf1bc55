import assert from 'node:assert/strict'
import { StrataError } from '../../lib/errors.js'

/** For assert.rejects and assert.throws: a StrataError of this code whose message holds all parts. */
export function refuses(code: string, ...parts: string[]): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof StrataError, `${error instanceof Error ? error.stack : error}`)
    assert.equal(error.code, code, error.message)
    for (const part of parts) assert.ok(error.message.includes(part), `"${error.message}" should name "${part}"`)
    return true
  }
}
