#!/usr/bin/python3 -IS
# A gateway that does what the agent at the other end of its stream tells it: one word a line, an answer a line.
import json, os, resource, select, socket

control = socket.socket(fileno=3)
agent, listeners, words, answers = None, {}, None, True


def facts():
    status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines())
    return {
        "uids": os.getresuid(),
        "groups": sorted({os.getgid(), *os.getgroups()}),
        "caps": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
        "no_new_privs": status["NoNewPrivs"],
        "env": [line.partition("=")[0] for line in open("/proc/self/environ").read().split("\0") if line],
        "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "session": os.getsid(0),
        "cwd": os.getcwd(),
        "cgroup": open("/proc/self/cgroup").read(),
        "input": os.readlink("/proc/self/fd/0"),
        "outputs": [os.readlink("/proc/self/fd/1"), os.readlink("/proc/self/fd/2")],
    }


def accept(name):
    listener = socket.socket(fileno=os.dup(listeners[name]))
    listener.setblocking(True)
    listener.accept()[0].sendall(str(os.getpid()).encode())
    return "accepted"


def obey(word, rest):
    global words, answers
    if word == "listeners":
        return " ".join(listeners)
    if word == "accept":
        return accept(rest)
    if word == "facts":
        return json.dumps(facts())
    if word == "words":
        words = rest
    if word == "many-words":
        words = "w" * int(rest)
    if word == "babble":
        control.send(b"not even JSON")
        control.send(b'{"say":"a later word"}')
    if word == "mute":
        answers = False
    if word == "over":
        control.send(b'{"say":"ended","words":"of another run"}')
    if word == "hang-up":
        control.close()
    if word == "exit":
        os._exit(int(rest))
    return "done"


while True:
    sources = [source for source in (control, agent) if source and source.fileno() >= 0]
    ready = select.select(sources, [], [])[0]
    if control in ready:
        data, fds = socket.recv_fds(control, 1 << 18, 32)[:2]
        message = json.loads(data) if data else {"say": "hung up"}
        if message["say"] == "hung up":
            os._exit(0)
        if message["say"] == "end":
            if agent:
                agent.sendall(b"the run has ended\n")
            if answers:
                control.send(json.dumps({"say": "ended", "words": words}).encode())
        if message["say"] == "agent":
            if agent:
                agent.close()
            agent = socket.socket(fileno=fds[0])
            agent.setblocking(True)
            listeners = dict(zip(message["listeners"], fds[1:]))
    elif agent in ready:
        data = agent.recv(4096).decode()
        if not data:
            agent.close()
            agent = None
        for line in data.splitlines():
            word, _, rest = line.partition(" ")
            agent.sendall(obey(word, rest).encode() + b"\n")
