// Majordomo 0.1 clients on libzmq, and what they measure:
//
//   client ENDPOINT SERVICE sync CLIENTS BYTES REQUESTS [before=FRAME]
//   client ENDPOINT SERVICE window AT_ONCE BYTES REQUESTS [rate=N]
//
// `sync` is so many sockets with one request each at a time, `window` one socket with so many. `rate` sends so many a second
// and counts the time of an answer from when its request was due. `before` puts a frame in front of the body and expects `200`
// and a ticket for a reply (RFC 9); otherwise the reply is what was sent. Prints `answered N rate N p50 N p99 N`, times in
// microseconds, and fails where an answer is wrong or later than ten seconds.

#define _GNU_SOURCE // for ppoll

#include "common.h"

#include <poll.h>

#define PATIENCE 10000000 // microseconds
#define WARM_UP 200 // requests that are not counted
#define SMALLEST 8 // bytes: a body begins with the number of its request

typedef struct {
    void *socket;
    long request; // the one that was sent last
} client_t;

static const char *service;
static const char *before;
static long rate;
static long bytes;
static char *body;

static client_t *clients;
static long client_count;
static long at_once;

static int64_t *times; // by request: when it was sent, or due; after its answer, how long that took
static bool *answered;
static long requests, asked, done;
static int64_t last_answer;

static void give_up(const char *what)
{
    fprintf(stderr, "%s, with %ld of %ld answered\n", what, done, requests);
    exit(1);
}

// Sends the next request, which counts from `time` on.
static void ask(client_t *client, int64_t time)
{
    void *socket = client->socket;
    client->request = asked;
    times[asked] = time;
    memcpy(body, &asked, sizeof asked);
    asked++;
    if (!send_bytes(socket, "", 0, ZMQ_SNDMORE) || !send_bytes(socket, CLIENT_HEADER, HEADER_LENGTH, ZMQ_SNDMORE)
        || !send_bytes(socket, service, strlen(service), ZMQ_SNDMORE)
        || (before != NULL && !send_bytes(socket, before, strlen(before), ZMQ_SNDMORE))
        || !send_bytes(socket, body, bytes, 0))
        give_up("a request was not taken");
}

// Takes an answer where there is one.
static bool take(client_t *client, int flags)
{
    message_t message;
    if (!message_receive(&message, client->socket, flags))
        return false;
    last_answer = now();
    if (message.count < 4 || frame_size(&message, 0) != 0 || !frame_is(&message, 1, CLIENT_HEADER, HEADER_LENGTH)
        || !frame_is(&message, 2, service, strlen(service)))
        give_up("an answer is not framed as one");
    long request = client->request;
    if (before != NULL) {
        if (message.count != 5 || !frame_is(&message, 3, "200", 3))
            give_up("an answer is not 200 and a ticket");
    } else {
        if (message.count != 4 || frame_size(&message, 3) != (size_t)bytes)
            give_up("an answer is not what was sent");
        memcpy(&request, frame_data(&message, 3), sizeof request);
    }
    message_close(&message);
    if (request < 0 || request >= asked || answered[request])
        give_up("an answer came twice, or belongs to no request");
    answered[request] = true;
    times[request] = last_answer - times[request];
    done++;
    return true;
}

// One socket: waits for each answer, or keeps `at_once` requests under way.
static void run_one(long until)
{
    client_t *client = &clients[0];
    while (done < until) {
        while (asked < until && asked - done < at_once)
            ask(client, now());
        if (!take(client, 0))
            give_up("an answer is missing");
        while (take(client, ZMQ_DONTWAIT))
            ;
    }
}

// Many sockets, each with one request at a time.
static void run_many(long until)
{
    zmq_pollitem_t *items = calloc(client_count, sizeof *items);
    if (items == NULL)
        fail("calloc");
    for (long index = 0; index < client_count; index++) {
        items[index] = (zmq_pollitem_t) { .socket = clients[index].socket, .events = ZMQ_POLLIN };
        if (asked < until)
            ask(&clients[index], now());
    }
    while (done < until) {
        if (zmq_poll(items, client_count, PATIENCE / 1000) <= 0)
            give_up("an answer is missing");
        for (long index = 0; index < client_count; index++)
            if (items[index].revents != 0 && take(&clients[index], ZMQ_DONTWAIT) && asked < until)
                ask(&clients[index], now());
    }
    free(items);
}

// One socket that sends when a request is due, whatever has been answered.
static void run_paced(long until)
{
    client_t *client = &clients[0];
    int readable;
    size_t size = sizeof readable;
    if (zmq_getsockopt(client->socket, ZMQ_FD, &readable, &size) != 0)
        fail("zmq_getsockopt");
    int64_t began = now();
    long first = asked;
    last_answer = began;
    while (done < until) {
        int64_t due;
        int64_t time = now();
        while ((due = began + (asked - first) * 1000000 / rate) <= time && asked < until && asked - done < at_once)
            ask(client, due);
        // The socket's file tells of what came since it was last found empty, so it must be found empty before a wait.
        while (take(client, ZMQ_DONTWAIT))
            ;
        time = now();
        if (time - last_answer > PATIENCE && asked > done)
            give_up("an answer is missing");
        int64_t wait = asked < until && asked - done < at_once ? due - time : 100000;
        if (done < until && wait > 0) {
            struct timespec timeout = { wait / 1000000, wait % 1000000 * 1000 };
            struct pollfd file = { .fd = readable, .events = POLLIN };
            ppoll(&file, 1, &timeout, NULL);
        }
    }
}

static int compare(const void *one, const void *other)
{
    int64_t left = *(const int64_t *)one, right = *(const int64_t *)other;
    return (left > right) - (left < right);
}

int main(int count, char **words)
{
    bool sync = count >= 7 && strcmp(words[3], "sync") == 0;
    if (count < 7 || (!sync && strcmp(words[3], "window") != 0)) {
        fprintf(stderr, "usage: %s ENDPOINT SERVICE sync|window NUMBER BYTES REQUESTS [rate=N] [before=FRAME]\n", words[0]);
        return 2;
    }
    service = words[2];
    at_once = sync ? 1 : number(words[4], "AT_ONCE");
    client_count = sync ? number(words[4], "CLIENTS") : 1;
    bytes = number(words[5], "BYTES");
    requests = number(words[6], "REQUESTS") + WARM_UP;
    for (int index = 7; index < count; index++) {
        if (strncmp(words[index], "rate=", 5) == 0 && !sync)
            rate = number(words[index] + 5, "rate");
        else if (strncmp(words[index], "before=", 7) == 0 && sync)
            before = words[index] + 7;
        else
            fprintf(stderr, "unexpected word `%s`\n", words[index]), exit(2);
    }
    if (bytes < SMALLEST)
        fprintf(stderr, "expected at least %d bytes\n", SMALLEST), exit(2);
    end_with_parent();

    void *context = new_context();
    body = calloc(1, bytes);
    clients = calloc(client_count, sizeof *clients);
    times = calloc(requests, sizeof *times);
    answered = calloc(requests, sizeof *answered);
    if (body == NULL || clients == NULL || times == NULL || answered == NULL)
        fail("calloc");
    for (long index = 0; index < client_count; index++) {
        void *socket = clients[index].socket = zmq_socket(context, ZMQ_DEALER);
        if (socket == NULL)
            fail("zmq_socket");
        set_option(socket, ZMQ_LINGER, 0);
        set_option(socket, ZMQ_RCVTIMEO, PATIENCE / 1000);
        set_option(socket, ZMQ_SNDTIMEO, PATIENCE / 1000);
        // One that is paced may have all of its requests under way.
        set_option(socket, ZMQ_SNDHWM, 0);
        set_option(socket, ZMQ_RCVHWM, 0);
        set_curve(socket);
        if (zmq_connect(socket, words[1]) != 0)
            fail(words[1]);
    }

    void (*run)(long) = client_count > 1 ? run_many : rate > 0 ? run_paced : run_one;
    // The first one waits until the workers are there.
    run_one(1);
    run(WARM_UP);
    int64_t began = now();
    run(requests);
    double seconds = (last_answer - began) / 1e6;
    long counted = requests - WARM_UP;
    qsort(times + WARM_UP, counted, sizeof *times, compare);
    printf("answered %ld rate %.0f p50 %ld p99 %ld\n", counted, counted / seconds, (long)times[WARM_UP + counted / 2],
        (long)times[WARM_UP + counted * 99 / 100]);
    return 0;
}
