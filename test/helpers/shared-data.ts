import { resolve } from 'node:path'

/** The folder of real data beside the project, or STRATABERT_SHARED; tests that need it skip without. */
export const SHARED_DATA = process.env.STRATABERT_SHARED ?? resolve(__dirname, '../../../shared/data')
