// What the Majordomo 0.1 programs share: the words of the protocol, a clock, and whole messages on a socket.

#ifndef PLAYHOUSE_COMMON_H
#define PLAYHOUSE_COMMON_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define CLIENT_HEADER "MDPC01"
#define WORKER_HEADER "MDPW01"
#define HEADER_LENGTH 6

enum { READY = 1, REQUEST = 2, REPLY = 3, HEARTBEAT = 4, DISCONNECT = 5 };

#define HEARTBEAT_INTERVAL 2500000 // microseconds
#define HEARTBEAT_LIVENESS 3
#define MOST_FRAMES 64

typedef struct {
    zmq_msg_t frames[MOST_FRAMES];
    int count;
} message_t;

static inline void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

// Returns the time since some moment in the past, in microseconds.
static inline int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

// Reads a positive number from the command line.
static inline long number(const char *text, const char *what)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value < 1) {
        fprintf(stderr, "expected a positive number for %s, found `%s`\n", what, text);
        exit(2);
    }
    return value;
}

static inline void set_option(void *socket, int option, int value)
{
    if (zmq_setsockopt(socket, option, &value, sizeof value) != 0)
        fail("zmq_setsockopt");
}

// Has a client's or worker's socket speak CURVE where CURVE_KEYS says so: the server's public key, one's own public and one's
// own secret key, with commas between.
static inline void set_curve(void *socket)
{
    const char *keys = getenv("CURVE_KEYS");
    char server[41], own[41], secret[41];
    if (keys == NULL)
        return;
    if (sscanf(keys, "%40[^,],%40[^,],%40s", server, own, secret) != 3) {
        fprintf(stderr, "expected SERVER,PUBLIC,SECRET in CURVE_KEYS\n");
        exit(2);
    }
    if (zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server, 41) != 0
        || zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, own, 41) != 0
        || zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, 41) != 0)
        fail("CURVE");
}

static inline void *until_input_ends(void *unused)
{
    (void)unused;
    char space[64];
    while (read(STDIN_FILENO, space, sizeof space) > 0)
        ;
    _exit(0);
}

// A program whose standard input is a pipe ends with it, so that none is left behind whatever becomes of who started it.
static inline void end_with_parent(void)
{
    struct stat input;
    pthread_t thread;
    if (fstat(STDIN_FILENO, &input) == 0 && S_ISFIFO(input.st_mode)
        && pthread_create(&thread, NULL, until_input_ends, NULL) == 0)
        pthread_detach(thread);
}

// Makes a context for as many sockets, and files, as the system allows.
static inline void *new_context(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    void *context = zmq_ctx_new();
    if (context == NULL || zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 8192) != 0)
        fail("zmq_ctx_new");
    return context;
}

static inline const void *frame_data(message_t *message, int index) { return zmq_msg_data(&message->frames[index]); }

static inline size_t frame_size(message_t *message, int index) { return zmq_msg_size(&message->frames[index]); }

static inline bool frame_is(message_t *message, int index, const void *data, size_t size)
{
    return frame_size(message, index) == size && memcmp(frame_data(message, index), data, size) == 0;
}

static inline void message_close(message_t *message)
{
    for (int index = 0; index < message->count; index++)
        zmq_msg_close(&message->frames[index]);
    message->count = 0;
}

// Takes a whole message. Returns false where none came in time; a message of too many frames comes back with none.
static inline bool message_receive(message_t *message, void *socket, int flags)
{
    message->count = 0;
    bool more = true;
    bool too_many = false;
    while (more) {
        zmq_msg_t overflow;
        zmq_msg_t *frame = message->count < MOST_FRAMES ? &message->frames[message->count] : &overflow;
        zmq_msg_init(frame);
        if (zmq_msg_recv(frame, socket, flags) < 0) {
            int error = zmq_errno();
            zmq_msg_close(frame);
            message_close(message);
            if (error == EAGAIN || error == EINTR)
                return false;
            fail("zmq_msg_recv");
        }
        more = zmq_msg_more(frame);
        if (frame == &overflow) {
            too_many = true;
            zmq_msg_close(frame);
        } else {
            message->count++;
        }
    }
    if (too_many)
        message_close(message);
    return true;
}

// Sends a frame of bytes that stay the caller's.
static inline bool send_bytes(void *socket, const void *data, size_t size, int flags)
{
    return zmq_send(socket, data, size, flags) >= 0;
}

// Sends the frames from `first` on as the rest of a message. They are the socket's afterwards.
static inline void send_rest(void *socket, message_t *message, int first)
{
    for (int index = first; index < message->count; index++)
        zmq_msg_send(&message->frames[index], socket, index + 1 < message->count ? ZMQ_SNDMORE : 0);
}

#endif
