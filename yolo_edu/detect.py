"""`python -m yolo_edu.detect`: the same as `yolo-edu detect`, under the name that the article's era knows it by."""

import sys

from yolo_edu.cli import main

if __name__ == "__main__":
    sys.exit(main(["detect", *sys.argv[1:]]))
