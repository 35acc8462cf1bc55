/** What an encoder has done and has before it. */
export interface EncoderStats {
  /** Calls accepted and not answered yet of which nothing is in a running batch. */
  queuedCalls: number
  /** Tokens that wait for a batch; of texts that are still being tokenised an estimate. At most `maxQueueTokens`, but for one call that is longer by itself, for the tasks of one `ask`, whose blocks are admitted once, and for a batch or block of a stream or long list that goes on beside a queue full of other calls. */
  queuedTokens: number
  /** Calls not answered yet with sequences in a running batch; one that was aborted is none. */
  runningCalls: number
  /** Calls answered since the encoder was loaded; a stream's texts count one by one. */
  completed: number
  /** Calls that ended with an error other than those below. */
  failed: number
  /** Calls refused with OVERLOADED. */
  rejected: number
  /** Calls that their signal, a stream's reader who left, or `dispose({ abort: true })` ended. */
  aborted: number
  /** Batches computed since the encoder was loaded. */
  batches: number
  /** Those of them that answered several questions: calls of different methods, heads or options, or an `ask` of several tasks. */
  mixedBatches: number
  /** Tokens computed, special tokens included. */
  tokens: number
  /** tokens / batches; 0 before the first. */
  meanBatchTokens: number
  /** Tokens per second of computing, of late; 0 before the first batch. */
  tokensPerSecond: number
  /** From call to answer in milliseconds, over the last one to two minutes, to 2.5 %; zeros when there was none. */
  latencyMs: { p50: number; p90: number; p99: number }
  /** How often a checkpoint was replaced. */
  replaced: number
  /** Weights, gradients and moments of all live models of the process, in bytes. */
  nativeBytes: number
}
