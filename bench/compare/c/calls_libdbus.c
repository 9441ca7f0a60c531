/* GetId by libdbus: one at a time with send_with_reply_and_block, many in flight with pending calls. */
#include <dbus/dbus.h>

#include "calls.h"

static DBusConnection *connection;
static uint64_t end_ns;
static uint64_t replies;
static uint64_t in_flight;

static DBusMessage *new_call(void) {
  DBusMessage *call = dbus_message_new_method_call(BUS_NAME, BUS_PATH, BUS_NAME, "GetId");
  if (call == NULL) die("out of memory");
  return call;
}

static void check_reply(DBusMessage *reply) {
  const char *id = NULL;
  if (!dbus_message_get_args(reply, NULL, DBUS_TYPE_STRING, &id, DBUS_TYPE_INVALID)) die("not the reply of GetId");
  check_id(id);
}

static void call_and_block(DBusConnection *over) {
  DBusMessage *call = new_call();
  DBusMessage *reply = dbus_connection_send_with_reply_and_block(over, call, DBUS_TIMEOUT_USE_DEFAULT, NULL);
  if (reply == NULL) die("no reply");
  check_reply(reply);
  dbus_message_unref(reply);
  dbus_message_unref(call);
}

static void send_pending(void);

static void received(DBusPendingCall *pending, void *data) {
  (void)data;
  DBusMessage *reply = dbus_pending_call_steal_reply(pending);
  check_reply(reply);
  dbus_message_unref(reply);
  replies++;
  in_flight--;
  if (now_ns() < end_ns) send_pending();
}

static void send_pending(void) {
  DBusMessage *call = new_call();
  DBusPendingCall *pending;
  if (!dbus_connection_send_with_reply(connection, call, &pending, DBUS_TIMEOUT_USE_DEFAULT) || pending == NULL)
    die("cannot send");
  if (!dbus_pending_call_set_notify(pending, received, NULL, NULL)) die("out of memory");
  dbus_pending_call_unref(pending);
  dbus_message_unref(call);
  in_flight++;
}

static uint64_t calls_for(uint64_t window, uint64_t time_ns) {
  replies = 0;
  end_ns = now_ns() + time_ns;
  if (window == 1) {
    do {
      call_and_block(connection);
      replies++;
    } while (now_ns() < end_ns);
    return replies;
  }
  for (uint64_t index = 0; index < window; index++) send_pending();
  while (in_flight > 0)
    if (!dbus_connection_read_write_dispatch(connection, -1)) die("disconnected");
  return replies;
}

static DBusConnection *open_bus(const char *address) {
  DBusConnection *opened = dbus_connection_open_private(address, NULL);
  if (opened == NULL) die("cannot connect");
  dbus_connection_set_exit_on_disconnect(opened, FALSE);
  if (!dbus_bus_register(opened, NULL)) die("Hello failed");
  return opened;
}

static struct measured connect_for(const char *address, uint64_t time_ns) {
  struct measured result = {0, 0};
  uint64_t end = now_ns() + time_ns;
  do {
    uint64_t start = now_ns();
    DBusConnection *brief = open_bus(address);
    call_and_block(brief);
    result.wall_ns += now_ns() - start;
    result.count++;
    dbus_connection_close(brief);
    dbus_connection_unref(brief);
  } while (now_ns() < end);
  return result;
}

int main(int argc, char **argv) {
  if (argc != 2) die("usage: calls_libdbus ADDRESS");
  connection = open_bus(argv[1]);
  serve(argv[1]);
  return 0;
}
