"""SecretStorage as a client: one JSON object with `op` a line in, one answer a line out, secrets in base64."""
import base64
import json
import sys

import secretstorage
from secretstorage.collection import Collection
from secretstorage.item import Item
from secretstorage.util import open_session


def encode(secret):
    return base64.b64encode(secret).decode()


class Client:
    def __init__(self):
        self.connection = secretstorage.dbus_init()
        # Items that are searched for would open a session each.
        self.session = open_session(self.connection)

    def collection(self, name):
        if name is None:
            return secretstorage.get_default_collection(self.connection)
        return secretstorage.get_collection_by_alias(self.connection, name)

    def search(self, attributes):
        found = secretstorage.search_items(self.connection, attributes)
        return [Item(self.connection, item.item_path, self.session) for item in found]

    def store(self, items, collection=None):
        target = self.collection(collection)
        return [
            target.create_item(
                item["label"],
                item["attributes"],
                base64.b64decode(item["secret"]),
                replace=True,
                content_type=item["contentType"],
            ).item_path
            for item in items
        ]

    def find(self, attributes):
        return [
            {
                "path": item.item_path,
                "label": item.get_label(),
                "attributes": item.get_attributes(),
                "secret": encode(item.get_secret()),
                "contentType": item.get_secret_content_type(),
            }
            for item in self.search(attributes)
        ]

    def clear(self, attributes):
        found = self.search(attributes)
        for item in found:
            item.delete()
        return len(found)

    def properties(self, path):
        item = Item(self.connection, path)
        return {"created": item.get_created(), "modified": item.get_modified(), "locked": item.is_locked()}

    def collections(self):
        found = secretstorage.get_all_collections(self.connection)
        return [{"path": c.collection_path, "label": c.get_label(), "locked": c.is_locked()} for c in found]

    def relabel(self, path, label):
        Item(self.connection, path).set_label(label)

    def lock(self, path):
        Collection(self.connection, path).lock()

    def remove(self, path):
        Collection(self.connection, path).delete()


def main():
    client = Client()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": getattr(client, request.pop("op"))(**request)}
        except secretstorage.exceptions.SecretStorageException as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
