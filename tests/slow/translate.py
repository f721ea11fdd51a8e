"""What the SAM transform makes of template.yaml, without an AWS account.

    translate.py template.yaml > cloudformation.json

Linting the result finds what linting the template does not: the roles' policies,
the permissions and the integrations are then plain resources. PyYAML's own loader
reads the template, so a short form (`!Ref`), which other programs could not read,
fails here.
"""

import json
import os
import sys

import yaml
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator


# A part of the names that the transform makes.
os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"


def main(path):
    with open(path, encoding="utf-8") as file:
        template = yaml.safe_load(file)
    # `sam build` puts the place of each artifact here.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/function.zip"
    translated = Translator({}, Parser()).translate(template, {})
    json.dump(translated, sys.stdout, indent=1)


main(sys.argv[1])
