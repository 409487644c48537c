"""`python -m yolo_edu.test`: the same as `yolo-edu test`, under the name that the article's era knows it by."""

import sys

from yolo_edu.cli import main

if __name__ == "__main__":
    sys.exit(main(["test", *sys.argv[1:]]))
