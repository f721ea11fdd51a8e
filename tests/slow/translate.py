"""What the SAM transform makes of template.yaml, without an AWS account.

    translate.py template.yaml > cloudformation.json

Linting the result finds what linting the template does not: the roles' policies,
the permissions and the integrations are then plain resources. PyYAML's own loader
reads the template, so a short form (`!Ref`), which other programs could not read,
fails here.
"""

import json
import sys

import yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator


def main(path):
    with open(path, encoding="utf-8") as file:
        template = yaml.safe_load(file)
    # `sam build` puts the place of each artifact here.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/function.zip"
    parameters = {name: parameter["Default"] for name, parameter in template["Parameters"].items() if "Default" in parameter}
    translated = Translator({}, Parser()).translate(template, parameters, feature_toggle=None)
    json.dump(translated, sys.stdout, indent=1)


main(sys.argv[1])
