import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileError, StrataError } from '../errors.js'
import { loadBoot } from '../runtime/index.js'
import { CORPUS_VERSION, type CorpusArray, type CorpusManifest, corpusFiles, MANIFEST_FILE } from './corpus-files.js'
import type { TokenCorpus } from './token-corpus.js'

/**
 * Maps a prepared corpus into memory by its folder alone: how a worker thread gets the corpus that another thread has opened
 * and verified. Checks sizes, not hashes. Throws NOT_FOUND or BAD_FILE, naming the file.
 */
export function reopenCorpus(directory: string): TokenCorpus {
  const manifest = readManifest(join(directory, MANIFEST_FILE))
  const { statistics, files, relations } = manifest
  const names = corpusFiles(manifest)
  const map = (name: CorpusArray): ArrayBuffer => {
    const path = join(directory, names[name]!)
    const { bytes } = files[name]!
    try {
      const { size } = statSync(path)
      if (size !== bytes) {
        throw new StrataError('BAD_FILE', `${path} has ${size} bytes, ${bytes} were expected; prepare the corpus again`)
      }
      return loadBoot().mapFile(path)
    } catch (error) {
      throw fileError(error, path, 'open the corpus')
    }
  }
  return {
    directory,
    documentCount: statistics.documents,
    sentenceCount: statistics.sentences,
    tokenCount: statistics.tokens,
    tokenIds: new Int32Array(map('tokenIds')),
    tokenFlags: new Uint8Array(map('tokenFlags')),
    sentenceOffsets: new Uint32Array(map('sentenceOffsets')),
    documentOffsets: new Uint32Array(map('documentOffsets')),
    ...(relations && {
      chunks: {
        relations,
        ids: new Int32Array(map('chunkIds')),
        offsets: new Uint32Array(map('chunkOffsets')),
        kinds: new Uint8Array(map('chunkKinds')),
        targets: new Int32Array(map('chunkTargets')),
      },
    }),
  }
}

function readManifest(path: string): CorpusManifest {
  let manifest: CorpusManifest
  try {
    manifest = JSON.parse(readFileSync(path, 'utf8')) as CorpusManifest
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw fileError(error, path, 'open the corpus')
    throw new StrataError('BAD_FILE', `${path} is no JSON document; prepare the corpus again`, { cause: error })
  }
  if (manifest?.kind !== 'stratabert-corpus' || manifest.version !== CORPUS_VERSION) {
    throw new StrataError(
      'BAD_FILE',
      `${path} describes no corpus of version ${CORPUS_VERSION}; prepare the corpus again with this release`,
    )
  }
  return manifest
}
