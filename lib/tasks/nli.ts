/** Does the first text entail the second? MNLI, QNLI, RTE and WNLI as GLUE has them, SNLI and SciTail as published. */
import { NO_LABEL_CELLS } from './glue.js'
import type { TextTaskDefinition } from './text-definition.js'

const INDEX = { names: ['index', 'id', 'idx'], optional: true }
const PREMISE = { names: ['sentence1', 'premise'] }
const HYPOTHESIS = { names: ['sentence2', 'hypothesis'] }
const ENTAILMENT = ['entailment', 'not_entailment']
const THREE_WAY = ['entailment', 'neutral', 'contradiction']

/** Williams et al. 2018. Dev and test come twice: genres of the training set (matched), and others (mismatched). */
export const MNLI: TextTaskDefinition = {
  name: 'MNLI',
  kind: 'classification',
  metrics: ['accuracy'],
  labels: THREE_WAY,
  texts: [PREMISE, HYPOTHESIS],
  label: { names: ['gold_label', 'label'] },
  id: { names: ['index', 'idx', 'pairID'], optional: true },
  noLabel: NO_LABEL_CELLS,
  files: {
    train: ['train', 'multinli_1.0_train'],
    dev: ['dev_matched', 'validation_matched', 'multinli_1.0_dev_matched', 'dev', 'validation'],
    'dev-mismatched': ['dev_mismatched', 'validation_mismatched', 'multinli_1.0_dev_mismatched'],
    test: ['test_matched', 'test'],
    'test-mismatched': ['test_mismatched'],
    'test-diagnostic': ['diagnostic'],
  },
  submission: { files: { test: 'MNLI-m.tsv', 'test-mismatched': 'MNLI-mm.tsv', 'test-diagnostic': 'AX.tsv' } },
}

/** Does a sentence answer a question? (SQuAD, as pairs) */
export const QNLI: TextTaskDefinition = {
  name: 'QNLI',
  kind: 'classification',
  metrics: ['accuracy'],
  labels: ENTAILMENT,
  texts: [{ names: ['question', 'sentence1'] }, { names: ['sentence', 'sentence2'] }],
  label: { names: ['label'] },
  id: INDEX,
  noLabel: NO_LABEL_CELLS,
  submission: { files: { test: 'QNLI.tsv' } },
}

/** PASCAL's entailment challenges 1, 2, 3 and 5. */
export const RTE: TextTaskDefinition = {
  name: 'RTE',
  kind: 'classification',
  metrics: ['accuracy'],
  labels: ENTAILMENT,
  texts: [PREMISE, HYPOTHESIS],
  label: { names: ['label'] },
  id: INDEX,
  noLabel: NO_LABEL_CELLS,
  submission: { files: { test: 'RTE.tsv' } },
}

/** Winograd sentences as pairs; the dev set's labels are opposed to those of the training set on purpose. */
export const WNLI: TextTaskDefinition = {
  name: 'WNLI',
  kind: 'classification',
  metrics: ['accuracy'],
  labels: ['not_entailment', 'entailment'],
  texts: [PREMISE, HYPOTHESIS],
  label: { names: ['label'] },
  id: INDEX,
  noLabel: NO_LABEL_CELLS,
  submission: { files: { test: 'WNLI.tsv' }, labels: ['0', '1'] },
}

/** Bowman et al. 2015. Rows whose annotators did not agree have the label `-`. */
export const SNLI: TextTaskDefinition = {
  name: 'SNLI',
  kind: 'classification',
  metrics: ['accuracy'],
  labels: THREE_WAY,
  texts: [PREMISE, HYPOTHESIS],
  label: { names: ['gold_label', 'label'] },
  id: { names: ['pairID', 'index', 'id', 'idx'], optional: true },
  noLabel: NO_LABEL_CELLS,
  files: {
    train: ['train', 'snli_1.0_train'],
    dev: ['dev', 'validation', 'snli_1.0_dev'],
    test: ['test', 'snli_1.0_test'],
  },
}

/**
 * Khot et al. 2018. Its TSV files have no header; those in SNLI's format, some hundred rows more and JSON lines in spite of their
 * ending, call the second class `entailment`.
 */
export const SCITAIL: TextTaskDefinition = {
  name: 'SciTail',
  kind: 'classification',
  metrics: ['accuracy'],
  labels: ['neutral', 'entails'],
  labelAliases: { entailment: 'entails' },
  header: 'detect',
  columnCount: 3,
  texts: [
    { ...PREMISE, position: 0 },
    { ...HYPOTHESIS, position: 1 },
  ],
  label: { names: ['gold_label', 'label'], position: 2 },
  id: INDEX,
  noLabel: NO_LABEL_CELLS,
  files: {
    train: ['train', 'scitail_1.0_train'],
    dev: ['dev', 'validation', 'scitail_1.0_dev'],
    test: ['test', 'scitail_1.0_test'],
  },
  jsonlFiles: ['scitail_1.0_train.txt', 'scitail_1.0_dev.txt', 'scitail_1.0_test.txt'],
}
