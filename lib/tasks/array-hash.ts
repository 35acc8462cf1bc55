import { createHash } from 'node:crypto'

/** SHA-256 over the bytes of arrays, one after the other, in hexadecimal. */
export function arrayHash(arrays: Iterable<NodeJS.ArrayBufferView>): string {
  const hash = createHash('sha256')
  for (const array of arrays) hash.update(array)
  return hash.digest('hex')
}
