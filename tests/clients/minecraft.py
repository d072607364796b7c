"""A small Minecraft server, and players of it, made of quarry: somebody else's implementation of the protocol.

    minecraft.py server PORT PLACES     ends when it reads `stop`
    minecraft.py player PORT NAME       stays until it is ended
"""

import sys

from quarry.net.auth import OfflineProfile
from quarry.net.client import ClientFactory, ClientProtocol
from quarry.net.server import ServerFactory, ServerProtocol
from twisted.internet import reactor, stdio
from twisted.protocols.basic import LineReceiver


class Served(ServerProtocol):
    def packet_handshake(self, buff):
        super().packet_handshake(buff)
        known = self.factory.minecraft_versions
        if self.protocol_version not in known:
            # Who only asks for the status may have any version, or say none.
            self.protocol_version = max(known)
            self.buff_type = self.factory.get_buff_type(self.protocol_version)


class Server(ServerFactory):
    protocol = Served
    online_mode = False


class Console(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line):
        if line == b"stop":
            reactor.stop()


class Player(ClientProtocol):
    def player_joined(self):
        super().player_joined()
        print("joined", flush=True)


role, port, word = sys.argv[1:]
if role == "server":
    server = Server()
    server.max_players = int(word)
    server.listen("127.0.0.1", int(port))
    stdio.StandardIO(Console())
else:
    player = ClientFactory(OfflineProfile(word))
    player.protocol = Player
    player.connect("127.0.0.1", int(port))
# A server that only its console ends, as the test wants it.
reactor.run(installSignalHandlers=role == "player")
