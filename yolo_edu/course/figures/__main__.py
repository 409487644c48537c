"""`python -m yolo_edu.course.figures`: draw every figure into img/."""

from yolo_edu.course.figures.book import write

if __name__ == "__main__":
    for path in write():
        print(path.name)
