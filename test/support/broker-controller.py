"""Runs a dbus-broker without systemd: plays the controller that otherwise is dbus-broker-launch.

Arguments: the path to listen at, the machine id. Standard input: the message AddListener in hexadecimal, one line. Prints
`ready` once the broker listens. Ends with its standard input, and the broker with it.
"""

import array
import os
import shutil
import socket
import subprocess
import sys


def main():
    path, machine_id = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    # The broker takes it over as it is, and would sleep in accept.
    listener.setblocking(False)
    ours, theirs = socket.socketpair()
    broker = subprocess.Popen(
        ["dbus-broker", "--controller", str(theirs.fileno()), "--machine-id", machine_id]
        # What dbus-broker-launch gives; without them the broker takes 16 MiB for each user.
        + ["--max-bytes", str(2**31), "--max-fds", "4096", "--max-matches", "65536", "--max-objects", "65536"],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
    )
    theirs.close()
    try:
        message = bytes.fromhex(sys.stdin.readline())
        uid = str(os.getuid()).encode().hex().encode()
        ours.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n")
        ours.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener.fileno()]))])
        listener.close()
        ours.settimeout(10)
        answer = b""
        while b"AGREE_UNIX_FD\r\n" not in answer or len(answer.split(b"AGREE_UNIX_FD\r\n")[1]) < 16:
            chunk = ours.recv(65536)
            if not chunk:
                raise SystemExit(f"the broker hung up: {answer!r}")
            answer += chunk
        kind = answer.split(b"AGREE_UNIX_FD\r\n")[1][1]
        if kind != 2:
            raise SystemExit(f"the broker refused: {answer!r}")
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        ours.close()
        broker.kill()
        broker.wait()
        # The test that made the folder may be gone.
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)


main()
