/*
 * Encoding and decoding of whole messages by libdbus and GDBus, for bench/compare/codec.mjs.
 *
 *   codec LIBRARY MILLISECONDS FILE...
 *
 * LIBRARY is `libdbus` or `gdbus`; each FILE holds one little-endian message. Encoding is building a message from values that
 * the program holds, and marshalling it; decoding is demarshalling, and reading every value. Before anything is timed the
 * encoded body must equal that of the file byte for byte, and both must read to the same checksum. Prints one line of JSON,
 * an array of `{"encode": ns, "decode": ns}` in the order of the files: medians.
 */
#include <dbus/dbus.h>
#include <gio/gio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A value as a program holds it: a tree, with strings and fixed-size arrays as pointers into memory of its own. */
typedef struct Value Value;
struct Value {
  int type;
  char *text;     /* strings; the signature of a variant's value; the element signature of an array */
  DBusBasicValue basic;
  void *fixed;    /* elements of an array of a fixed-size type */
  int length;     /* of `fixed` or `items` */
  Value *items;
};

static void *allocate(size_t size) {
  void *memory = calloc(1, size ? size : 1);
  if (!memory) abort();
  return memory;
}

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static gboolean is_text(int type) {
  return type == DBUS_TYPE_STRING || type == DBUS_TYPE_OBJECT_PATH || type == DBUS_TYPE_SIGNATURE;
}

static int size_of(int type) {
  switch (type) {
    case DBUS_TYPE_BYTE: return 1;
    case DBUS_TYPE_INT16: case DBUS_TYPE_UINT16: return 2;
    case DBUS_TYPE_INT64: case DBUS_TYPE_UINT64: case DBUS_TYPE_DOUBLE: return 8;
    default: return 4;
  }
}

static Value *keep_all(DBusMessageIter *iter, int *length);

static void keep(DBusMessageIter *iter, Value *value) {
  value->type = dbus_message_iter_get_arg_type(iter);
  DBusMessageIter inner;
  if (is_text(value->type)) {
    const char *text;
    dbus_message_iter_get_basic(iter, &text);
    value->text = strdup(text);
  } else if (dbus_type_is_basic(value->type)) {
    dbus_message_iter_get_basic(iter, &value->basic);
  } else {
    dbus_message_iter_recurse(iter, &inner);
    if (value->type == DBUS_TYPE_VARIANT || value->type == DBUS_TYPE_ARRAY) {
      char *signature = dbus_message_iter_get_signature(value->type == DBUS_TYPE_ARRAY ? iter : &inner);
      value->text = strdup(signature + (value->type == DBUS_TYPE_ARRAY));
      dbus_free(signature);
    }
    if (value->type == DBUS_TYPE_ARRAY && dbus_type_is_fixed(dbus_message_iter_get_element_type(iter))) {
      const void *elements;
      dbus_message_iter_get_fixed_array(&inner, &elements, &value->length);
      size_t size = (size_t)value->length * size_of(value->text[0]);
      value->fixed = allocate(size);
      if (size) memcpy(value->fixed, elements, size);
    } else {
      value->items = keep_all(&inner, &value->length);
    }
  }
}

static Value *keep_all(DBusMessageIter *iter, int *length) {
  Value *values = NULL;
  *length = 0;
  for (; dbus_message_iter_get_arg_type(iter) != DBUS_TYPE_INVALID; dbus_message_iter_next(iter)) {
    values = realloc(values, (*length + 1) * sizeof(Value));
    if (!values) abort();
    memset(&values[*length], 0, sizeof(Value));
    keep(iter, &values[(*length)++]);
  }
  return values;
}

/* One case: the bytes of the file, what its header says, and the values of its body. */
typedef struct {
  char *bytes;
  gsize byte_length;
  gsize body_byte_length;
  char *sender, *destination, *signature;
  guint32 serial, reply_serial;
  Value *values;
  int length;
} Case;

static uint64_t checksum_fixed(const void *elements, int length, int size) {
  uint64_t sum = 0;
  if (size == 8) for (int i = 0; i < length; i++) sum += ((const uint64_t *)elements)[i];
  else for (int i = 0; i < length * size; i++) sum += ((const uint8_t *)elements)[i];
  return sum;
}

/* ---- libdbus ---- */

static uint64_t dbus_read(DBusMessageIter *iter) {
  uint64_t sum = 0;
  int type;
  for (; (type = dbus_message_iter_get_arg_type(iter)) != DBUS_TYPE_INVALID; dbus_message_iter_next(iter)) {
    if (is_text(type)) {
      const char *text;
      dbus_message_iter_get_basic(iter, &text);
      sum += (uint8_t)text[0];
    } else if (dbus_type_is_basic(type)) {
      DBusBasicValue value = {0};
      dbus_message_iter_get_basic(iter, &value);
      sum += value.u64;
    } else {
      DBusMessageIter inner;
      int element = type == DBUS_TYPE_ARRAY ? dbus_message_iter_get_element_type(iter) : DBUS_TYPE_INVALID;
      dbus_message_iter_recurse(iter, &inner);
      if (element != DBUS_TYPE_INVALID && dbus_type_is_fixed(element)) {
        const void *elements;
        int length;
        dbus_message_iter_get_fixed_array(&inner, &elements, &length);
        sum += checksum_fixed(elements, length, size_of(element));
      } else {
        sum += dbus_read(&inner);
      }
    }
  }
  return sum;
}

static uint64_t dbus_decode(const Case *one) {
  DBusMessage *message = dbus_message_demarshal(one->bytes, (int)one->byte_length, NULL);
  if (!message) fail("libdbus refuses a message");
  DBusMessageIter iter;
  uint64_t sum = dbus_message_iter_init(message, &iter) ? dbus_read(&iter) : 0;
  dbus_message_unref(message);
  return sum;
}

static void dbus_append(DBusMessageIter *iter, const Value *values, int length) {
  for (int i = 0; i < length; i++) {
    const Value *value = &values[i];
    dbus_bool_t fine = TRUE;
    if (value->type == DBUS_TYPE_INVALID) fail("no type");
    if (is_text(value->type)) {
      fine = dbus_message_iter_append_basic(iter, value->type, &value->text);
    } else if (dbus_type_is_basic(value->type)) {
      fine = dbus_message_iter_append_basic(iter, value->type, &value->basic);
    } else {
      DBusMessageIter inner;
      fine = dbus_message_iter_open_container(iter, value->type, value->text, &inner);
      if (value->fixed) {
        fine = fine && dbus_message_iter_append_fixed_array(&inner, value->text[0], &value->fixed, value->length);
      } else {
        dbus_append(&inner, value->items, value->length);
      }
      fine = fine && dbus_message_iter_close_container(iter, &inner);
    }
    if (!fine) fail("libdbus is out of memory");
  }
}

static char *dbus_encode(const Case *one, gsize *byte_length) {
  DBusMessage *message = dbus_message_new(DBUS_MESSAGE_TYPE_METHOD_RETURN);
  dbus_message_set_no_reply(message, TRUE);
  dbus_message_set_serial(message, one->serial);
  dbus_message_set_reply_serial(message, one->reply_serial);
  dbus_message_set_sender(message, one->sender);
  dbus_message_set_destination(message, one->destination);
  DBusMessageIter iter;
  dbus_message_iter_init_append(message, &iter);
  dbus_append(&iter, one->values, one->length);
  char *bytes;
  int length;
  if (!dbus_message_marshal(message, &bytes, &length)) fail("libdbus is out of memory");
  dbus_message_unref(message);
  *byte_length = (gsize)length;
  return bytes;
}

/* ---- GDBus ---- */

static uint64_t gvariant_read(GVariant *value) {
  uint64_t sum = 0;
  switch (g_variant_classify(value)) {
    case G_VARIANT_CLASS_BOOLEAN: return g_variant_get_boolean(value);
    case G_VARIANT_CLASS_BYTE: return g_variant_get_byte(value);
    case G_VARIANT_CLASS_INT16: return (uint16_t)g_variant_get_int16(value);
    case G_VARIANT_CLASS_UINT16: return g_variant_get_uint16(value);
    case G_VARIANT_CLASS_INT32: return (uint32_t)g_variant_get_int32(value);
    case G_VARIANT_CLASS_UINT32: return g_variant_get_uint32(value);
    case G_VARIANT_CLASS_HANDLE: return (uint32_t)g_variant_get_handle(value);
    case G_VARIANT_CLASS_INT64: return (uint64_t)g_variant_get_int64(value);
    case G_VARIANT_CLASS_UINT64: return g_variant_get_uint64(value);
    case G_VARIANT_CLASS_DOUBLE: {
      DBusBasicValue bits;
      bits.dbl = g_variant_get_double(value);
      return bits.u64;
    }
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE: return (uint8_t)g_variant_get_string(value, NULL)[0];
    default: break;
  }
  const char *type = g_variant_get_type_string(value);
  if (type[0] == 'a' && strchr("ybnqiuxtdh", type[1])) {
    gsize length;
    const void *elements = g_variant_get_fixed_array(value, &length, size_of(type[1]));
    return checksum_fixed(elements, (int)length, size_of(type[1]));
  }
  GVariantIter iter;
  GVariant *child;
  g_variant_iter_init(&iter, value);
  while ((child = g_variant_iter_next_value(&iter))) {
    sum += gvariant_read(child);
    g_variant_unref(child);
  }
  return sum;
}

static uint64_t gdbus_decode(const Case *one) {
  GDBusMessage *message =
      g_dbus_message_new_from_blob((guchar *)one->bytes, one->byte_length, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
  if (!message) fail("GDBus refuses a message");
  GVariant *body = g_dbus_message_get_body(message);
  uint64_t sum = body ? gvariant_read(body) : 0;
  g_object_unref(message);
  return sum;
}

static GVariant *gvariant_of(const Value *value);

static GVariant *gvariant_container(const GVariantType *type, const Value *items, int length) {
  GVariantBuilder builder;
  g_variant_builder_init(&builder, type);
  for (int i = 0; i < length; i++) g_variant_builder_add_value(&builder, gvariant_of(&items[i]));
  return g_variant_builder_end(&builder);
}

static GVariant *gvariant_of(const Value *value) {
  switch (value->type) {
    case DBUS_TYPE_BYTE: return g_variant_new_byte(value->basic.byt);
    case DBUS_TYPE_BOOLEAN: return g_variant_new_boolean(value->basic.bool_val);
    case DBUS_TYPE_INT16: return g_variant_new_int16(value->basic.i16);
    case DBUS_TYPE_UINT16: return g_variant_new_uint16(value->basic.u16);
    case DBUS_TYPE_INT32: return g_variant_new_int32(value->basic.i32);
    case DBUS_TYPE_UINT32: return g_variant_new_uint32(value->basic.u32);
    case DBUS_TYPE_INT64: return g_variant_new_int64(value->basic.i64);
    case DBUS_TYPE_UINT64: return g_variant_new_uint64(value->basic.u64);
    case DBUS_TYPE_DOUBLE: return g_variant_new_double(value->basic.dbl);
    case DBUS_TYPE_STRING: return g_variant_new_string(value->text);
    case DBUS_TYPE_OBJECT_PATH: return g_variant_new_object_path(value->text);
    case DBUS_TYPE_SIGNATURE: return g_variant_new_signature(value->text);
    case DBUS_TYPE_VARIANT: return g_variant_new_variant(gvariant_of(&value->items[0]));
    case DBUS_TYPE_DICT_ENTRY:
      return g_variant_new_dict_entry(gvariant_of(&value->items[0]), gvariant_of(&value->items[1]));
    case DBUS_TYPE_STRUCT: return gvariant_container(G_VARIANT_TYPE_TUPLE, value->items, value->length);
    default: break;
  }
  if (value->fixed) {
    return g_variant_new_fixed_array(G_VARIANT_TYPE(value->text), value->fixed, value->length,
                                     size_of(value->text[0]));
  }
  GVariantType *type = g_variant_type_new_array(G_VARIANT_TYPE(value->text));
  GVariant *array = gvariant_container(type, value->items, value->length);
  g_variant_type_free(type);
  return array;
}

static char *gdbus_encode(const Case *one, gsize *byte_length) {
  GDBusMessage *message = g_dbus_message_new();
  g_dbus_message_set_byte_order(message, G_DBUS_MESSAGE_BYTE_ORDER_LITTLE_ENDIAN);
  g_dbus_message_set_message_type(message, G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
  g_dbus_message_set_flags(message, G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
  g_dbus_message_set_serial(message, one->serial);
  g_dbus_message_set_reply_serial(message, one->reply_serial);
  g_dbus_message_set_sender(message, one->sender);
  g_dbus_message_set_destination(message, one->destination);
  g_dbus_message_set_body(message, gvariant_container(G_VARIANT_TYPE_TUPLE, one->values, one->length));
  char *bytes = (char *)g_dbus_message_to_blob(message, byte_length, G_DBUS_CAPABILITY_FLAGS_NONE, NULL);
  if (!bytes) fail("GDBus does not encode a message");
  g_object_unref(message);
  return bytes;
}

/* ---- what is timed ---- */

typedef struct {
  char *(*encode)(const Case *, gsize *);
  void (*release)(void *);
  uint64_t (*decode)(const Case *);
} Library;

static double nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

static volatile uint64_t sink;

static void run(const Library *library, const Case *one, gboolean encode, int count) {
  for (int i = 0; i < count; i++) {
    if (encode) {
      gsize length;
      char *bytes = library->encode(one, &length);
      sink += (uint8_t)bytes[length - 1];
      library->release(bytes);
    } else {
      sink += library->decode(one);
    }
  }
}

static int compare_doubles(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

enum { MOST_SAMPLES = 100000 };

/* The median of samples of at least a fifth of a millisecond each. */
static double measure(const Library *library, const Case *one, gboolean encode, double time) {
  static double samples[MOST_SAMPLES];
  int count = 1, length = 0;
  for (;; count *= 2) {
    double start = nanoseconds();
    run(library, one, encode, count);
    if (nanoseconds() - start >= 2e5) break;
  }
  double end = nanoseconds() + time;
  do {
    double start = nanoseconds();
    run(library, one, encode, count);
    samples[length++] = (nanoseconds() - start) / count;
  } while (nanoseconds() < end && length < MOST_SAMPLES);
  qsort(samples, length, sizeof(double), compare_doubles);
  return samples[length / 2];
}

static Case read_case(const char *file) {
  Case one = {0};
  GError *error = NULL;
  if (!g_file_get_contents(file, &one.bytes, &one.byte_length, &error)) fail(error->message);
  DBusMessage *message = dbus_message_demarshal(one.bytes, (int)one.byte_length, NULL);
  if (!message) fail("a file holds no message");
  one.serial = dbus_message_get_serial(message);
  one.reply_serial = dbus_message_get_reply_serial(message);
  one.sender = g_strdup(dbus_message_get_sender(message));
  one.destination = g_strdup(dbus_message_get_destination(message));
  one.signature = g_strdup(dbus_message_get_signature(message));
  guint32 body_byte_length;
  memcpy(&body_byte_length, one.bytes + 4, 4);
  one.body_byte_length = GUINT32_FROM_LE(body_byte_length);
  DBusMessageIter iter;
  if (dbus_message_iter_init(message, &iter)) one.values = keep_all(&iter, &one.length);
  dbus_message_unref(message);
  return one;
}

static void check(const Library *library, const Case *one) {
  gsize length;
  char *bytes = library->encode(one, &length);
  gsize body = one->body_byte_length;
  if (length < body || memcmp(bytes + length - body, one->bytes + one->byte_length - body, body) != 0)
    fail("an encoded body is another than that of the file");
  Case again = *one;
  again.bytes = bytes;
  again.byte_length = length;
  if (library->decode(&again) != library->decode(one)) fail("the values read are others");
  library->release(bytes);
}

int main(int argc, char **argv) {
  static const Library libdbus = {dbus_encode, dbus_free, dbus_decode};
  static const Library gdbus = {gdbus_encode, g_free, gdbus_decode};
  if (argc < 4) fail("usage: codec libdbus|gdbus MILLISECONDS FILE...");
  const Library *library = strcmp(argv[1], "gdbus") == 0 ? &gdbus : &libdbus;
  double time = atof(argv[2]) * 1e6;
  printf("[");
  for (int i = 3; i < argc; i++) {
    Case one = read_case(argv[i]);
    check(library, &one);
    double encode = measure(library, &one, TRUE, time);
    double decode = measure(library, &one, FALSE, time);
    printf("%s{\"encode\": %.1f, \"decode\": %.1f}", i == 3 ? "" : ", ", encode, decode);
  }
  printf("]\n");
  return 0;
}
