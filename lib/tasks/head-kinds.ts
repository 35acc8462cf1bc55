import type { TaskHeadConfig } from '../model/index.js'
import type { TaskKind } from './types.js'

/** Kinds of head whose labels the batches of each kind of task hold: those that can be trained on it and scored by it. */
export const HEAD_KINDS: Readonly<Record<TaskKind, readonly TaskHeadConfig['kind'][]>> = {
  classification: ['classifier', 'san'],
  regression: ['regressor'],
  ranking: ['ranker'],
  span: ['span'],
  tagging: ['tagger'],
  parsing: ['parser'],
}
