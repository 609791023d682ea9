"""The tutorial's chat, asynchronous and synchronous."""

import threading

from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer


class ChatConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        self.group = "chat_" + self.scope["url_route"]["kwargs"]["room"]
        self.name = self.scope["session"].get("name", "somebody")
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        await self.send_json({"welcome": self.name})

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.group, self.channel_name)
        await self.channel_layer.group_send(self.group, {"type": "chat.message", "message": f"{self.name} left: {code}"})

    async def receive_json(self, content):
        message = f"{self.name}: {content['message']}"
        await self.channel_layer.group_send(self.group, {"type": "chat.message", "message": message})

    async def chat_message(self, event):
        await self.send_json({"message": event["message"]})


class SyncConsumer(WebsocketConsumer):
    """Runs in a thread, as everything synchronous under Channels."""

    def receive(self, text_data=None, bytes_data=None):
        main = threading.current_thread() is threading.main_thread()
        self.send(text_data=f"{text_data} main={main}")
