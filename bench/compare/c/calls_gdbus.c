/* GetId by GDBus: one at a time with call_sync, many in flight with call in a main loop. */
#include <gio/gio.h>

#include "calls.h"

static GDBusConnection *connection;
static GMainLoop *loop;
static uint64_t end_ns;
static uint64_t replies;
static uint64_t in_flight;

static void check_reply(GVariant *reply) {
  if (reply == NULL) die("no reply");
  const char *id;
  g_variant_get(reply, "(&s)", &id);
  check_id(id);
  g_variant_unref(reply);
}

static void call_sync(GDBusConnection *over) {
  check_reply(g_dbus_connection_call_sync(over, BUS_NAME, BUS_PATH, BUS_NAME, "GetId", NULL, G_VARIANT_TYPE("(s)"),
                                          G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL));
}

static void send_async(void);

static void received(GObject *source, GAsyncResult *result, gpointer data) {
  (void)source;
  (void)data;
  check_reply(g_dbus_connection_call_finish(connection, result, NULL));
  replies++;
  in_flight--;
  if (now_ns() < end_ns) send_async();
  else if (in_flight == 0) g_main_loop_quit(loop);
}

static void send_async(void) {
  g_dbus_connection_call(connection, BUS_NAME, BUS_PATH, BUS_NAME, "GetId", NULL, G_VARIANT_TYPE("(s)"),
                         G_DBUS_CALL_FLAGS_NONE, -1, NULL, received, NULL);
  in_flight++;
}

static uint64_t calls_for(uint64_t window, uint64_t time_ns) {
  replies = 0;
  end_ns = now_ns() + time_ns;
  if (window == 1) {
    do {
      call_sync(connection);
      replies++;
    } while (now_ns() < end_ns);
    return replies;
  }
  for (uint64_t index = 0; index < window; index++) send_async();
  g_main_loop_run(loop);
  return replies;
}

static GDBusConnection *open_bus(const char *address) {
  GDBusConnection *opened = g_dbus_connection_new_for_address_sync(
      address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL,
      NULL, NULL);
  if (opened == NULL) die("cannot connect");
  return opened;
}

static struct measured connect_for(const char *address, uint64_t time_ns) {
  struct measured result = {0, 0};
  uint64_t end = now_ns() + time_ns;
  do {
    uint64_t start = now_ns();
    GDBusConnection *brief = open_bus(address);
    call_sync(brief);
    result.wall_ns += now_ns() - start;
    result.count++;
    g_dbus_connection_close_sync(brief, NULL, NULL);
    g_object_unref(brief);
  } while (now_ns() < end);
  return result;
}

int main(int argc, char **argv) {
  if (argc != 2) die("usage: calls_gdbus ADDRESS");
  loop = g_main_loop_new(NULL, FALSE);
  connection = open_bus(argv[1]);
  serve(argv[1]);
  return 0;
}
