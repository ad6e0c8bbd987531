# the three commands of the documentation's workflow
python src/musubi_tuner/wan_cache_latents.py --dataset_config dataset.toml --vae models/wan_2.1_vae.safetensors --skip_existing
python src/musubi_tuner/wan_cache_text_encoder_outputs.py --dataset_config dataset.toml --t5 models/t5.pth --batch_size 16
accelerate launch --num_cpu_threads_per_process 1 --mixed_precision bf16 src/musubi_tuner/wan_train_network.py \
    --task t2v-1.3B \
    --dit models/wan2.1_t2v_1.3B_bf16.safetensors \
    --dataset_config dataset.toml --sdpa --fp8_base \
    --optimizer_type adamw8bit --learning_rate 2e-4 --gradient_checkpointing \
    --network_module networks.lora_wan --network_dim 32 --network_args "loraplus_lr_ratio=4" rank_dropout=0.1 \
    --timestep_sampling shift --discrete_flow_shift 3.0 \
    --max_train_epochs 16 --save_every_n_epochs 1 --seed 42 \
    --output_dir out --output_name heron --no_such_option 3
