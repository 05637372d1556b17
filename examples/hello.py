"""The shortest program there is: `python examples/hello.py`.

It needs no `if __name__ == "__main__":`, although the model runs in a process of its own.
"""

from botbridge import Bot

print(Bot().start_chat("hello"))
