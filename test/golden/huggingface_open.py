"""Opens model folders with transformers and writes what it computes, for 42.checkpoint-folder.test.ts.

  python test/golden/huggingface_open.py --folder DIR --class BertForPreTraining --input inputs.json --output out.json
  python test/golden/huggingface_open.py --folder DIR --class BertForPreTraining --create config.json   makes such a folder

Made with it: test/golden/bert_for_pretraining (outputs.json.gz holds what transformers computes for the test's inputs).

inputs.json: { "tokenIds": [[...]], "segmentIds": [[...]] }, one list a sequence.
"""

import argparse
import json

import torch
import transformers


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--folder", required=True)
    arguments.add_argument("--class", dest="name", required=True)
    arguments.add_argument("--create", help="a config.json of the model to draw and write")
    arguments.add_argument("--input")
    arguments.add_argument("--output")
    options = arguments.parse_args()
    cls = getattr(transformers, options.name)
    torch.manual_seed(7)
    if options.create:
        model = cls(transformers.BertConfig.from_json_file(options.create))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                # No bias at 0 and no LayerNorm weight at 1, so that a tensor left out is seen.
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(options.folder)
    model, report = cls.from_pretrained(options.folder, output_loading_info=True)
    model.eval()
    inputs = json.load(open(options.input))
    results = []
    with torch.no_grad():
        for ids, segments in zip(inputs["tokenIds"], inputs["segmentIds"]):
            out = model(torch.tensor([ids]), token_type_ids=torch.tensor([segments]), output_hidden_states=True)
            result = {"hidden": out.hidden_states[-1][0].tolist()}
            if options.name == "BertForPreTraining":
                result["mlm"] = out.prediction_logits[0].tolist()
                result["nsp"] = out.seq_relationship_logits[0].tolist()
            elif options.name == "BertForMaskedLM":
                result["mlm"] = out.logits[0].tolist()
            elif options.name == "BertForNextSentencePrediction":
                result["nsp"] = out.logits[0].tolist()
            results.append(result)
    missing = sorted(report["missing_keys"])
    with open(options.output, "w") as file:
        json.dump({"results": results, "missing": missing, "unexpected": sorted(report["unexpected_keys"])}, file)


if __name__ == "__main__":
    main()
