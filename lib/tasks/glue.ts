/**
 * The single-sentence and similarity tasks of GLUE (Wang et al. 2018, arXiv 1804.07461) in their official layouts. Columns have the
 * official names first, then those of the Hugging Face copies; class numbers are the latter's. The first metric is the main one.
 */
import type { TextTaskDefinition } from './text-definition.js'

const INDEX = { names: ['index', 'id', 'idx'], optional: true }
/** What copies of the test sets write where the label is secret. */
export const NO_LABEL_CELLS = ['-1', '-']
const ZERO_ONE = ['0', '1']

/** Acceptability. Training and dev files have no header, the test file has one. */
export const COLA: TextTaskDefinition = {
  name: 'CoLA',
  kind: 'classification',
  metrics: ['matthews', 'accuracy'],
  labels: ['unacceptable', 'acceptable'],
  header: 'detect',
  columnCount: 4,
  texts: [{ names: ['sentence'], position: 3 }],
  label: { names: ['label'], position: 1 },
  id: INDEX,
  noLabel: NO_LABEL_CELLS,
  files: { train: ['train', 'in_domain_train'], dev: ['dev', 'validation', 'in_domain_dev'], test: ['test'] },
  submission: { files: { test: 'CoLA.tsv' }, labels: ZERO_ONE },
}

/** Sentiment of film reviews' phrases. */
export const SST_2: TextTaskDefinition = {
  name: 'SST-2',
  kind: 'classification',
  metrics: ['accuracy'],
  labels: ['negative', 'positive'],
  texts: [{ names: ['sentence', 'text'] }],
  label: { names: ['label'] },
  id: INDEX,
  noLabel: NO_LABEL_CELLS,
  submission: { files: { test: 'SST-2.tsv' }, labels: ZERO_ONE },
}

/** Paraphrases. GLUE reports F1 and accuracy; F1 is the main one here. */
export const MRPC: TextTaskDefinition = {
  name: 'MRPC',
  kind: 'classification',
  metrics: ['f1', 'accuracy'],
  labels: ['not_equivalent', 'equivalent'],
  texts: [{ names: ['#1 String', 'sentence1'] }, { names: ['#2 String', 'sentence2'] }],
  label: { names: ['Quality', 'label'] },
  id: INDEX,
  noLabel: NO_LABEL_CELLS,
  files: {
    train: ['train', 'msr_paraphrase_train'],
    dev: ['dev', 'validation'],
    test: ['test', 'msr_paraphrase_test'],
  },
  submission: { files: { test: 'MRPC.tsv' }, labels: ZERO_ONE },
}

/**
 * Similarity of two sentences from 0 to 5. GLUE's files have a header; those of the STS benchmark itself (sts-train.csv) have none, tabs
 * in spite of their ending, and a varying number of columns.
 */
export const STS_B: TextTaskDefinition = {
  name: 'STS-B',
  kind: 'regression',
  metrics: ['pearson', 'spearman'],
  range: [0, 5],
  header: 'detect',
  columnCount: 'any',
  texts: [
    { names: ['sentence1'], position: 5 },
    { names: ['sentence2'], position: 6 },
  ],
  label: { names: ['score', 'label'], position: 4 },
  id: INDEX,
  noLabel: NO_LABEL_CELLS,
  files: { train: ['train', 'sts-train'], dev: ['dev', 'validation', 'sts-dev'], test: ['test', 'sts-test'] },
  tabbedFiles: ['sts-train.csv', 'sts-dev.csv', 'sts-test.csv'],
  submission: { files: { test: 'STS-B.tsv' } },
}

/** Questions that ask the same. GLUE reports F1 and accuracy; F1 is the main one here. */
export const QQP: TextTaskDefinition = {
  name: 'QQP',
  kind: 'classification',
  metrics: ['f1', 'accuracy'],
  labels: ['not_duplicate', 'duplicate'],
  texts: [{ names: ['question1', 'sentence1'] }, { names: ['question2', 'sentence2'] }],
  label: { names: ['is_duplicate', 'label'] },
  id: INDEX,
  noLabel: NO_LABEL_CELLS,
  submission: { files: { test: 'QQP.tsv' }, labels: ZERO_ONE },
}
