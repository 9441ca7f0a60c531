"""SecretStorage as a client of the Secret Service: the same commands and answers as secret-child.mjs.

usage: secretstorage_child.py WAY SERVICE COUNT

WAY is `search_items`, the function of the module, whose items each open a session when their secret is read, or `collection`,
the default collection with one session for all its items.
"""

import json
import sys
import time

import secretstorage
from secretstorage.collection import DEFAULT_COLLECTION
from secretstorage.util import open_session

ACCOUNTS_TO_SET = 20

way, service, count_text = sys.argv[1:]
item_count = int(count_text)
connection = secretstorage.dbus_init()
# get_default_collection hands the session on only where it has to create the collection.
collection = secretstorage.Collection(connection, DEFAULT_COLLECTION, open_session(connection))


def account_of(index):
    return f"account-{index}"


def secret_of(account):
    return f"the secret of {account}, as long as a token"


def search(attributes):
    if way == "collection":
        return collection.search_items(attributes)
    return secretstorage.search_items(connection, attributes)


def lookup(attributes):
    for item in search(attributes):
        return item.get_secret().decode()
    return None


def store(attributes, secret):
    collection.create_item(f"{attributes['service']}/{attributes['account']}", attributes, secret.encode(), replace=True)


def get_one(index):
    account = account_of(index % item_count)
    if lookup({"service": service, "account": account}) != secret_of(account):
        raise ValueError(f"SecretStorage read something else for {account}")


def set_one(index):
    account = account_of(index % ACCOUNTS_TO_SET)
    store({"service": f"{service}, set by SecretStorage, {way}", "account": account}, f"{secret_of(account)}, {index}")


def check_all(accounts, secrets):
    wanted = {account_of(index): secret_of(account_of(index)) for index in range(item_count)}
    if len(secrets) != item_count or dict(zip(accounts, secrets)) != wanted:
        raise ValueError("SecretStorage found something else")


def find_all(_index):
    found = [(item.get_attributes()["account"], item.get_secret().decode()) for item in search({"service": service})]
    check_all(*zip(*found))


def read_all(_index):
    found = [
        (item.get_label(), item.get_attributes()["account"], item.get_secret().decode())
        for item in search({"service": service})
    ]
    labels, accounts, secrets = zip(*found)
    if any(label != f"{service}/{account}" for label, account in zip(labels, accounts)):
        raise ValueError("SecretStorage found another label")
    check_all(accounts, secrets)


def repeat(work, time_ms):
    cpu_before = time.process_time_ns()
    before = time.perf_counter_ns()
    count = 0
    while True:
        work(count)
        count += 1
        now = time.perf_counter_ns()
        if now - before >= time_ms * 1e6:
            return {"count": count, "wall": now - before, "cpu": time.process_time_ns() - cpu_before}


def attributes_of(stored):
    return stored.get("attributes") or {"service": stored["service"], "account": stored["account"]}


def answer(line):
    command, _, rest = line.partition(" ")
    if command == "write":
        stored = json.loads(rest)
        store(attributes_of(stored), stored["secret"])
        return {}
    if command == "look":
        return {"secret": lookup(attributes_of(json.loads(rest)))}
    # Its calls are made one after the other, however many there are to make.
    time_ms = float(rest.split(" ")[-1])
    return repeat({"get": get_one, "set": set_one, "find": find_all, "read": read_all}[command], time_ms)


for line in sys.stdin:
    print(json.dumps(answer(line.strip())), flush=True)
