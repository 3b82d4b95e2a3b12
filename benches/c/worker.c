// Majordomo 0.1 workers on libzmq that reply with the request's own body: `worker ENDPOINT SERVICE [WORKERS]`, each with a
// socket and a thread of its own.

#include "common.h"

#define RECONNECT 100000 // how long a worker waits before it tries a silent broker again, in microseconds
#define PATIENCE 60000000 // after how long a silence it gives up, in microseconds

static void *context;
static const char *endpoint;
static const char *service;

static void send_command(void *socket, uint8_t command, const char *name)
{
    send_bytes(socket, "", 0, ZMQ_SNDMORE);
    send_bytes(socket, WORKER_HEADER, HEADER_LENGTH, ZMQ_SNDMORE);
    send_bytes(socket, &command, 1, name != NULL ? ZMQ_SNDMORE : 0);
    if (name != NULL)
        send_bytes(socket, name, strlen(name), 0);
}

static void *connect_to_broker(void)
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    if (socket == NULL)
        fail("zmq_socket");
    set_option(socket, ZMQ_LINGER, 0);
    set_option(socket, ZMQ_RCVTIMEO, HEARTBEAT_INTERVAL / 1000);
    set_option(socket, ZMQ_SNDTIMEO, HEARTBEAT_INTERVAL / 1000);
    set_curve(socket);
    if (zmq_connect(socket, endpoint) != 0)
        fail(endpoint);
    send_command(socket, READY, service);
    return socket;
}

static void reply(void *socket, message_t *request)
{
    // The body goes back behind the client's address and the empty frame, as they came.
    uint8_t command = REPLY;
    if (send_bytes(socket, "", 0, ZMQ_SNDMORE) && send_bytes(socket, WORKER_HEADER, HEADER_LENGTH, ZMQ_SNDMORE)
        && send_bytes(socket, &command, 1, ZMQ_SNDMORE))
        send_rest(socket, request, 3);
}

// Serves until the broker disconnects it or falls silent. Returns when it last heard of the broker.
static int64_t serve(void *socket, int64_t heard)
{
    message_t message;
    int64_t began = now();
    int64_t next_beat = began + HEARTBEAT_INTERVAL;
    for (;;) {
        bool received = message_receive(&message, socket, 0);
        int64_t time = now();
        if (received) {
            uint8_t command = 0;
            if (message.count >= 3 && frame_is(&message, 1, WORKER_HEADER, HEADER_LENGTH)
                && frame_size(&message, 2) == 1)
                command = *(const uint8_t *)frame_data(&message, 2);
            if (command == REQUEST && message.count >= 6) {
                reply(socket, &message);
                // A reply is a sign of life, too.
                next_beat = time + HEARTBEAT_INTERVAL;
            }
            message_close(&message);
            heard = time;
            if (command == DISCONNECT)
                return heard;
        } else if (time - (heard > began ? heard : began) >= HEARTBEAT_INTERVAL * HEARTBEAT_LIVENESS) {
            return heard;
        }
        if (time >= next_beat) {
            send_command(socket, HEARTBEAT, NULL);
            next_beat = time + HEARTBEAT_INTERVAL;
        }
    }
}

static void *run(void *unused)
{
    (void)unused;
    int64_t heard = now();
    while (now() - heard < PATIENCE) {
        void *socket = connect_to_broker();
        heard = serve(socket, heard);
        zmq_close(socket);
        usleep(RECONNECT);
    }
    fprintf(stderr, "the broker at %s is silent\n", endpoint);
    exit(1);
}

int main(int count, char **words)
{
    if (count != 3 && count != 4) {
        fprintf(stderr, "usage: %s ENDPOINT SERVICE [WORKERS]\n", words[0]);
        return 2;
    }
    endpoint = words[1];
    service = words[2];
    long workers = count == 4 ? number(words[3], "WORKERS") : 1;
    end_with_parent();
    context = new_context();
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    pthread_t thread;
    for (long index = 0; index < workers; index++)
        if (pthread_create(&thread, &attributes, run, NULL) != 0)
            fail("pthread_create");
    pthread_join(thread, NULL);
    return 0;
}
